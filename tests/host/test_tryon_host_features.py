"""The try-on MODEL under the host's own features: they act, garments still act, and cached K,V are the recomputed
ones.
"""

import importlib
from dataclasses import replace

import pytest
import torch

# name: (module of the host's node, class, inputs). Scaled so that a tiny random network shows an effect.
PATCHES = {
    "PAG": ("nodes_pag", "PerturbedAttentionGuidance", {"scale": 3.0}),
    "SAG": ("nodes_sag", "SelfAttentionGuidance", {"scale": 0.8, "blur_sigma": 2.0}),
    "FreeU": ("nodes_freelunch", "FreeU", {"b1": 1.3, "b2": 1.4, "s1": 0.9, "s2": 0.2}),
    "FreeU V2": ("nodes_freelunch", "FreeU_V2", {"b1": 1.3, "b2": 1.4, "s1": 0.9, "s2": 0.2}),
    "HyperTile": ("nodes_hypertile", "HyperTile", {"tile_size": 32, "swap_size": 1, "max_depth": 0,
                   "scale_depth": False}),
    "ToMe": ("nodes_tomesd", "TomePatchModel", {"ratio": 0.5}),
    "RescaleCFG": ("nodes_model_advanced", "RescaleCFG", {"multiplier": 0.7}),
    "CFGZeroStar": ("nodes_cfg", "CFGZeroStar", {}),
    "self-attention multiply": ("nodes_attention_multiply", "UNetSelfAttentionMultiply",
                                {"q": 1.4, "k": 1.3, "v": 0.8, "out": 1.2}),
    "DeepShrink": (
        "nodes_model_downscale", "PatchModelAddDownscale",
        {"block_number": 2, "downscale_factor": 2.0,
         "start_percent": 0.0, "end_percent": 0.7, "downscale_after_skip": True,
         "downscale_method": "bicubic", "upscale_method": "bicubic"},
    ),
}  # fmt: skip
SIZE = {"height": 8, "width": 8}


@pytest.fixture
def model(tryon):
    return tryon[0]


def _patched(model, name):
    module, cls, inputs = PATCHES[name]
    node = getattr(importlib.import_module(f"comfy_extras.{module}"), cls)
    out = getattr(
        node() if hasattr(node, "FUNCTION") and isinstance(node.FUNCTION, str) else node,
        getattr(node, "FUNCTION", "execute"),
    )(model=model, **inputs)
    return out[0] if isinstance(out, tuple) else out.result[0]


def _run(dress, model, kv, **options):
    torch.manual_seed(0)  # HyperTile and ToMe draw from torch's global generator
    return dress.run(model, kv, **SIZE, **options)


@pytest.mark.parametrize("name", PATCHES)
def test_patches_of_the_host(model, dress, name):
    kv = dress.outfit(model)
    patched = _patched(model, name)
    got, plain = _run(dress, patched, kv), _run(dress, model, kv)
    assert torch.isfinite(got).all()
    assert (got - plain).abs().max() > 1e-3 * plain.abs().max(), f"{name} must act"
    assert (got - _run(dress, patched, None)).abs().max() > 1e-2 * plain.abs().max(), "garments must act"
    torch.testing.assert_close(_run(dress, patched, dress.uncached(kv)), got, atol=1e-5, rtol=1e-5)


def test_attention_override_sees_the_garments(model, dress):
    kv, seen = dress.outfit(model), []
    patched = model.clone()

    def override(function, q, k, v, heads, *args, **kwargs):
        seen.append((q.shape[1], k.shape[1]))
        return function(q, k, v, heads, *args, **kwargs)

    patched.model_options["transformer_options"]["optimized_attention_override"] = override
    torch.testing.assert_close(dress.run(patched, kv), dress.run(model, kv))
    assert (48, 48 + 24 + 35) in seen


def test_areas_keep_their_garments_apart(model, dress):
    """Two halves in different outfits: another garment on the right changes nothing on the far left."""
    from atelier.host.tryon import garment_kv

    left, right, other = dress.garment(model, 1), dress.garment(model, 2), dress.garment(model, 3)
    negative = dress.conditionings(garment_kv.merge([left]), **SIZE)[1]

    def halves(second):
        ends = []
        for kv, x in ((left, 0), (second, 4)):
            text, values = dress.conditionings(kv, **SIZE)[0][0]
            ends.append([text, {**values, "area": (8, 4, 0, x), "strength": 1.0}])
        return dress.run(model, conditionings=(ends, negative), steps=1, **SIZE)

    a, b = halves(right), halves(other)
    assert torch.equal(a[..., :3], b[..., :3]) and (a - b)[..., 4:].abs().max() > 1e-3
    assert torch.isfinite(
        dress.run(model, conditionings=(dress.conditionings(left, **SIZE)[0], negative), **SIZE)
    ).all()


def test_timestep_ranges_change_the_outfit_midway(model, dress):
    first, second = (dress.conditionings(dress.garment(model, seed)) for seed in (1, 2))

    def ranged(early, late):
        ranges = (
            (early, {"start_percent": 0.0, "end_percent": 0.5}),
            (late, {"start_percent": 0.5, "end_percent": 1.0}),
        )
        positive = [[end[0][0][0], {**end[0][0][1], **part}] for end, part in ranges]
        return dress.run(model, conditionings=(positive, first[1]), steps=4, cfg=1.0)

    whole = dress.run(model, conditionings=first, steps=4, cfg=1.0)
    torch.testing.assert_close(ranged(first, first), whole)
    changed = ranged(first, second)
    assert (changed - whole).abs().max() > 1e-3 and (changed - ranged(second, second)).abs().max() > 1e-3


def test_noise_mask_keeps_what_it_covers(model, dress):
    import comfy.sample

    kv, latent = dress.outfit(model), dress.latent(77, 8, 6)
    mask = torch.zeros(1, 8, 6)
    mask[:, :, 3:] = 1
    positive, negative = dress.conditionings(kv)
    noise = comfy.sample.prepare_noise(latent, 1)
    out = comfy.sample.sample(
        model, noise, 3, 2.5, "euler", "normal", positive, negative, latent, noise_mask=mask, disable_pbar=True, seed=1
    )
    torch.testing.assert_close(out[..., :3], latent[..., :3], atol=1e-4, rtol=1e-4)
    assert (out - latent)[..., 3:].abs().max() > 0.1
    graded = importlib.import_module("comfy_extras.nodes_differential_diffusion").DifferentialDiffusion.execute(
        model=model
    )
    soft = comfy.sample.sample(
        graded.result[0],
        noise,
        3,
        2.5,
        "euler",
        "normal",
        positive,
        negative,
        latent,
        noise_mask=mask * 0.6,
        disable_pbar=True,
        seed=1,
    )
    assert torch.isfinite(soft).all() and not torch.equal(soft, out)


@pytest.fixture
def control(host, tryon):
    """A tiny ControlNet of the UNet's own layout, with weights that do something."""
    import comfy.cldm.cldm
    import comfy.controlnet
    import comfy.model_management as mm
    import comfy.ops

    shared = (
        "image_size",
        "model_channels",
        "channel_mult",
        "num_res_blocks",
        "transformer_depth",
        "transformer_depth_middle",
        "num_heads",
        "use_spatial_transformer",
        "legacy",
    )
    config = {name: tryon[0].model.model_config.unet_config[name] for name in shared}
    net = comfy.cldm.cldm.ControlNet(
        **config, in_channels=4, hint_channels=3, context_dim=768, operations=comfy.ops.disable_weight_init
    )
    torch.manual_seed(4)
    for name, parameter in net.named_parameters():
        parameter.data = (
            torch.ones_like(parameter)
            if "norm" in name and name.endswith("weight")
            else torch.randn(parameter.shape) * 0.05
        )
    return comfy.controlnet.ControlNet(net, load_device=mm.get_torch_device())


@pytest.mark.parametrize("both_sides", [False, True])
def test_control_net(model, control, dress, both_sides):
    kv = dress.outfit(model)

    def controlled(kv, hint):
        positive, negative = dress.conditionings(kv)
        ends = []
        for end, applied in ((positive, True), (negative, both_sides)):
            values = (
                {
                    **end[0][1],
                    "control": control.copy().set_cond_hint(hint, 1.0, (0.0, 1.0)),
                    "control_apply_to_uncond": False,
                }
                if applied
                else end[0][1]
            )
            ends.append([[end[0][0], values]])
        return dress.run(model, conditionings=ends)

    hint = torch.rand(1, 3, 64, 48, generator=torch.Generator().manual_seed(1))
    got = controlled(kv, hint)
    assert (got - dress.run(model, kv)).abs().max() > 1e-3
    assert (got - controlled(kv, hint.flip(2))).abs().max() > 1e-5
    torch.testing.assert_close(controlled(dress.uncached(kv), hint), got, atol=1e-5, rtol=1e-5)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torch_compile(model, dress):
    from comfy_api.torch_helpers import set_torch_compile_wrapper

    kv = dress.outfit(model)
    compiled = model.clone()
    set_torch_compile_wrapper(model=compiled, backend="eager", fullgraph=True)
    try:
        for outfit in (kv, dress.uncached(kv)):
            torch.testing.assert_close(
                dress.run(compiled, outfit, steps=1), dress.run(model, kv, steps=1), atol=1e-5, rtol=1e-5
            )
    finally:
        torch._dynamo.reset()


def test_partial_loading_with_a_lora(model, dress, small_lora, monkeypatch):
    import comfy.model_management as mm

    patched = model.clone()
    patched.add_patches(small_lora(model), 1.0)
    whole = dress.run(patched, dress.outfit(patched))
    mm.unload_all_models()
    partly = []

    def little_memory(models, *args, **kwargs):
        for m in models:
            if m.model is model.model:
                m.patch_model(m.load_device, lowvram_model_memory=30_000)
                partly.append(sum(bool(getattr(layer, "weight_function", [])) for layer in m.model.modules()))

    monkeypatch.setattr(mm, "load_models_gpu", little_memory)
    got = dress.run(patched, dress.outfit(patched))
    assert partly and min(partly) > 0, "some layers must have stayed away, patched on the way"
    torch.testing.assert_close(got, whole, rtol=1e-4, atol=1e-4 * whole.abs().max().item())
    patched.unpatch_model(patched.offload_device)


@pytest.mark.parametrize("dtype, error", [(torch.bfloat16, 0.05), (torch.float16, 0.01), (torch.float8_e4m3fn, 0.4)])
def test_weight_storage(model, host, tryon_folder, dress, dtype, error):
    from atelier.host.tryon import load_tryon

    small = load_tryon.load(str(tryon_folder), dtype=dtype)[0]
    weights = {p.dtype for p in small.model.diffusion_model.parameters()}
    assert weights == {dtype}
    kv = dress.outfit(small)
    assert kv.outfits[0][0].kv[0][0].dtype == small.model.compute_dtype()
    got, exact = dress.run(small, kv), dress.run(model, dress.outfit(model))
    assert 0 < (got - exact).norm() / exact.norm() < error
    torch.testing.assert_close(dress.run(small, dress.uncached(kv)), got, atol=1e-5, rtol=1e-5)


def test_kv_of_another_compute_dtype_are_not_used(model, dress, passes):
    kv = dress.outfit(model)
    other = tuple(replace(g, kv=tuple((k.bfloat16(), v.bfloat16()) for k, v in g.kv)) for g in kv.outfits[0])
    made = passes.made
    assert torch.equal(dress.run(model, replace(kv, outfits=(other,))), dress.run(model, dress.uncached(kv)))
    assert passes.made > made


def test_custom_sampler_advanced_with_previews(model, dress, monkeypatch):
    import comfy.samplers
    import latent_preview

    nodes = importlib.import_module("comfy_extras.nodes_custom_sampler")
    kv, pictures = dress.outfit(model), []
    guider = comfy.samplers.CFGGuider(model)
    guider.set_conds(*dress.conditionings(kv))
    guider.set_cfg(2.5)
    previewer = latent_preview.Latent2RGBPreviewer(model.model.latent_format.latent_rgb_factors)
    monkeypatch.setattr(latent_preview, "get_previewer", lambda *a: previewer)
    monkeypatch.setattr("comfy.utils.PROGRESS_BAR_HOOK", lambda current, total, preview, **k: pictures.append(preview))
    sigmas = comfy.samplers.calculate_sigmas(model.get_model_object("model_sampling"), "karras", 3)
    out = nodes.SamplerCustomAdvanced.execute(
        nodes.Noise_RandomNoise(5),
        guider,
        comfy.samplers.sampler_object("dpmpp_2m"),
        sigmas,
        {"samples": torch.zeros(1, 4, 8, 6)},
    )
    assert len([p for p in pictures if p is not None]) == 3 and pictures[-1][1].size == (6, 8)
    torch.testing.assert_close(
        out.result[0]["samples"], dress.run(model, kv, steps=3, sampler="dpmpp_2m", scheduler="karras", seed=5)
    )


def _names():
    from comfy.samplers import SAMPLER_NAMES, SCHEDULER_NAMES

    return SAMPLER_NAMES, SCHEDULER_NAMES


def _finite_and_dressed(dress, model, kv, sampler, scheduler):
    got = dress.run(model, kv, sampler=sampler, scheduler=scheduler, steps=3)
    return torch.isfinite(got).all() and not torch.equal(
        got, dress.run(model, None, sampler=sampler, scheduler=scheduler, steps=3)
    )


@pytest.mark.filterwarnings("ignore")
def test_every_sampler_and_every_scheduler(model, dress):
    kv = dress.outfit(model)
    samplers, schedulers = _names()
    wrong = [s for s in samplers if not _finite_and_dressed(dress, model, kv, s, "karras")]
    wrong += [s for s in schedulers if not _finite_and_dressed(dress, model, kv, "euler", s)]
    assert not wrong


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
def test_every_sampler_with_every_scheduler(model, dress):
    kv = dress.outfit(model)
    samplers, schedulers = _names()
    wrong = [(a, b) for a in samplers for b in schedulers if not _finite_and_dressed(dress, model, kv, a, b)]
    assert not wrong
