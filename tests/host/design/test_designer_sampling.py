"""A loaded designer in the host's sampler: text, pose, LoRA, half precision, partly loaded, live previews."""

import pytest
import torch


@pytest.fixture(scope="module")
def draw(host, designer):
    """draw(model, text, control=) -> latent of a short run by the host's own sampler, with its control nodes."""
    import nodes as host_nodes

    def run(model=designer.model, text="a red dress", clip=designer.clip, pose=None, sampler="euler", steps=2, **more):
        with torch.inference_mode():
            positive, negative = ([[clip.encode(one), {}]] for one in (text, ""))
            if pose is not None:
                apply = host_nodes.ControlNetApplyAdvanced()
                positive, negative = apply.apply_controlnet(
                    positive, negative, designer.control_net, pose, 1.0, 0.0, 1.0, vae=designer.vae
                )
            empty = host_nodes.EmptyLatentImage().generate(48, 64, 1)[0]
            sample = host_nodes.common_ksampler
            return sample(model, 3, steps, 2.0, sampler, "normal", positive, negative, empty, **more)[0]["samples"]

    return run


def test_runs_in_the_hosts_sampler_and_text_and_pose_change_the_picture(draw):
    first = draw()
    assert first.shape == (1, 32, 8, 6) and torch.isfinite(first).all()
    assert torch.equal(first, draw())
    assert not torch.allclose(first, draw(text="blue trousers"), atol=1e-3)
    generator = torch.Generator().manual_seed(0)
    one, two = (draw(pose=torch.rand(1, 64, 48, 3, generator=generator)) for _ in range(2))
    assert not torch.allclose(one, first, atol=1e-3) and not torch.allclose(one, two, atol=1e-3)


@pytest.mark.parametrize("sampler", ["ddim", "dpmpp_2m", "dpmpp_2m_sde", "uni_pc", "lcm", "heun", "euler_ancestral"])
def test_samplers(draw, sampler):
    assert torch.isfinite(draw(sampler=sampler, steps=3)).all()


def test_lora_on_model_and_text_encoder(draw, designer):
    import comfy.sd

    generator = torch.Generator().manual_seed(0)
    lora = {}
    for name, (out, into) in {
        "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k": (64, 64),
        "lora_te_text_model_encoder_layers_0_self_attn_q_proj": (64, 64),
    }.items():
        lora[f"{name}.lora_up.weight"] = torch.randn(out, 4, generator=generator)
        lora[f"{name}.lora_down.weight"] = torch.randn(4, into, generator=generator)
    plain = draw()
    with torch.inference_mode():
        model, clip = comfy.sd.load_lora_for_models(designer.model, designer.clip, lora, 1.0, 1.0)
        assert len(model.patches) == 1 and len(clip.patcher.patches) == 1
        assert not torch.allclose(clip.encode("a dress"), designer.clip.encode("a dress"), atol=1e-3)
    assert not torch.allclose(draw(model), plain, atol=1e-3)
    assert torch.equal(draw(), plain), "the model without it stays as it was"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_stored_in_half(made, draw, tmp_path, dtype):
    from atelier.host.design import load_designer

    with torch.inference_mode():
        half = load_designer.load(made.write(tmp_path / "half"), dtype=dtype)
    assert half.model.model.get_dtype() == dtype
    assert (draw(half.model) - draw()).abs().mean() < 0.1 * draw().abs().mean()


def test_partly_loaded(draw, designer, monkeypatch):
    """What lowvram does: some weights stay off the device and are moved for each call."""
    whole = draw()
    patcher = designer.model.clone()
    with torch.inference_mode():
        patcher.partially_load(torch.device("cpu"), extra_memory=100_000)
        again = draw(patcher)
        patcher.partially_unload(torch.device("cpu"), 10**9)
    torch.testing.assert_close(again, whole)


def test_live_previews_have_colours(host, tmp_path):
    """The studio's encoder is linear: the mean colour of each cell comes back from its latent."""
    import comfy.sd
    from atelier.croquis import random_figure, render
    from atelier.host import model_file
    from atelier.host.design import load_designer
    from safetensors.torch import load_file

    with torch.inference_mode():
        vae = comfy.sd.VAE(sd=load_file(load_designer.STUDIO_FOLDER / "autoencoder.safetensors"))
        said = model_file.preview_colours(vae, 32)
        person = torch.tensor(render(random_figure(7), want=("person",)).person)[None] / 255
        cells = torch.nn.functional.avg_pool2d(person.movedim(-1, 1), 8)
        factors, bias = (torch.tensor(said[f"latent_rgb_factors{end}"]) for end in ("", "_bias"))
        shown = (torch.einsum("bchw,cr->brhw", vae.encode(person), factors) + bias[:, None, None] + 1) / 2
    assert (shown - cells).abs().mean() < 0.03
    assert (shown.flip(3) - cells).abs().mean() > 0.03


def test_previewer_of_the_host_takes_them(designer):
    import latent_preview
    from comfy.cli_args import LatentPreviewMethod, args

    before, args.preview_method = args.preview_method, LatentPreviewMethod.Latent2RGB
    try:
        previewer = latent_preview.get_previewer(torch.device("cpu"), designer.model.model.latent_format)
    finally:
        args.preview_method = before
    has = designer.model.model.latent_format.latent_rgb_factors is not None
    assert (previewer is not None) == has
