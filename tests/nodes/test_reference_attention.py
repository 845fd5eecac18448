"""Reference Attention on a tiny real UNet of the host."""

import pytest
import torch

LATENT = torch.zeros(2, 4, 8, 8)


@pytest.fixture(scope="module")
def parts(tiny):
    from atelier.host.prompt import prompt_tokens

    clip = tiny.clip()
    entry = lambda text, **more: [[prompt_tokens.encode(clip, text), {"pooled_output": None, **more}]]  # noqa: E731
    reference = torch.randn(1, 4, 6, 10, generator=torch.Generator().manual_seed(4))
    return tiny.unet(), entry, reference


def attach(parts, **options):
    from atelier.host.design.reference_attention import attach

    return attach(parts[0], parts[2], **options)


def test_strength_zero_is_the_model_itself(parts):
    assert attach(parts, strength=0.0) is parts[0]


@pytest.mark.parametrize("apply_to", ["prompt only", "prompt and negative"])
def test_reading_equals_an_own_attention(parts, sample, apply_to):
    """Oracle: K,V recorded by hand from one call of the UNet on the noised reference, read by replacements of our
    own."""
    from atelier.host.run_patches import host_attention

    model, entry, reference = parts
    sampling, unet = model.model.model_sampling, model.model.diffusion_model
    sigma = sampling.sigma(torch.tensor(50.0))
    noise = torch.randn(reference.shape, generator=torch.Generator().manual_seed(0))
    kept, places = {}, [("input", 1), ("input", 3), ("middle", 0), *(("output", n) for n in range(4))]

    def record(place):
        def attention(q, k, v, extra):
            kept[place] = (k, v)
            return host_attention(q, k, v, extra)

        return attention

    replace = {"attn1": {place: record(place) for place in places}}
    with torch.no_grad():
        unet((reference + sigma * noise) / (1 + sigma**2) ** 0.5, torch.tensor([50.0]), context=entry("red")[0][0],
             transformer_options={"patches_replace": replace})  # fmt: skip

    def read(place):
        def attention(q, k, v, extra):
            out, rows = [], q.shape[0] // len(extra["cond_or_uncond"])
            for chunk, kind in enumerate(extra["cond_or_uncond"]):
                part = slice(chunk * rows, (chunk + 1) * rows)
                if kind == 0 or apply_to == "prompt and negative":
                    rk, rv = (t.expand(rows, -1, -1) for t in kept[place])
                    out.append(host_attention(q[part], torch.cat([k[part], rk], 1), torch.cat([v[part], rv], 1), extra))
                else:
                    out.append(host_attention(q[part], k[part], v[part], extra))
            return torch.cat(out)

        return attention

    oracle = model.clone()
    for place in places:
        oracle.set_model_attn1_replace(read(place), *place)
    mine = sample(attach(parts, apply_to=apply_to), entry("red"), entry("bad"), LATENT)
    theirs = sample(oracle, entry("red"), entry("bad"), LATENT)
    plain = sample(model, entry("red"), entry("bad"), LATENT)
    assert (mine - theirs).abs().max() < 1e-5 * theirs.abs().max()
    assert (mine - plain).abs().max() > 1e-3 * plain.abs().max()


def test_one_pass_a_run_and_nothing_left_behind(parts, sample):
    model, entry, reference = parts
    sizes = []
    handle = model.model.diffusion_model.input_blocks[0][0].register_forward_pre_hook(
        lambda module, args: sizes.append(tuple(args[0].shape[-2:]))
    )
    try:
        used = attach(parts, strength=0.7)
        first = sample(used, entry("red"), entry(""), LATENT, steps=4)
        assert sizes.count((6, 10)) == 1 and sizes.count((8, 8)) == 4
        assert torch.equal(sample(used, entry("red"), entry(""), LATENT, steps=4), first)
        assert sizes.count((6, 10)) == 2
    finally:
        handle.remove()
    before = sample(model, entry("red"), entry(""), LATENT, steps=4)
    other = attach((model, entry, reference.flip(-1)), strength=0.7)
    assert not torch.allclose(sample(other, entry("red"), entry(""), LATENT, steps=4), first)
    assert torch.equal(sample(model, entry("red"), entry(""), LATENT, steps=4), before)


def test_strength_range_blocks_and_level_act(parts, sample):
    model, entry, _ = parts
    run = lambda m: sample(m, entry("red"), entry(""), LATENT)  # noqa: E731
    plain, full = run(model), run(attach(parts))
    half = run(attach(parts, strength=0.5))
    assert not torch.allclose(half, full) and not torch.allclose(half, plain)
    assert torch.equal(run(attach(parts, start_percent=0.1, end_percent=0.2)), plain)  # no step there
    assert not torch.allclose(run(attach(parts, first_block=2, last_block=3)), full)
    assert not torch.allclose(run(attach(parts, level=600.0)), full)


def test_an_interrupted_run_does_not_disturb_the_next(parts, sample, host):
    from comfy.model_management import InterruptProcessingException

    _, entry, _ = parts
    used = attach(parts)
    whole = sample(used, entry("red"), entry(""), LATENT)

    def stop(*args):
        raise InterruptProcessingException()

    with pytest.raises(InterruptProcessingException):
        sample(used, entry("red"), entry(""), LATENT, callback=stop)
    assert torch.equal(sample(used, entry("red"), entry(""), LATENT), whole)


def test_hypertile_and_another_packs_replacement(parts, sample, host):
    from atelier.host.run_patches import host_attention
    from comfy_extras.nodes_hypertile import HyperTile

    model, entry, reference = parts
    tiled = HyperTile.execute(model, 256, 2, 2, False)[0]
    latent = torch.zeros(1, 4, 64, 64)
    out = sample(attach((tiled, entry, reference)), entry("red"), entry(""), latent, steps=1)
    assert torch.isfinite(out).all()
    seen = []

    def other(q, k, v, extra):
        seen.append(k.shape[1])
        return host_attention(q, k, v, extra)

    patched = model.clone()
    patched.set_model_attn1_replace(other, "middle", 0)
    mine = sample(attach((patched, entry, reference)), entry("red"), entry(""), LATENT)
    theirs = sample(attach(parts), entry("red"), entry(""), LATENT)
    assert (mine - theirs).abs().max() < 1e-4 * theirs.abs().max()
    assert max(seen) > min(seen)


def test_several_references_add_up(parts, sample):
    _, entry, reference = parts
    run = lambda m: sample(m, entry("red"), entry(""), LATENT)  # noqa: E731
    both = run(attach((attach(parts), entry, reference.flip(-1))))
    assert not torch.allclose(both, run(attach(parts)))


def test_inpainting_checkpoint(tiny, parts, sample, host):
    model = tiny.unet(in_channels=9)
    model.model.set_inpaint()
    out = sample(attach((model, *parts[1:])), parts[1]("red"), parts[1](""), LATENT)
    assert torch.isfinite(out).all() and not torch.allclose(out, sample(model, parts[1]("red"), parts[1](""), LATENT))


@pytest.mark.parametrize(
    "options, says", [({"first_block": 90}, "blocks 0 to 6"), ({"end_percent": 0.0}, "not before end")]
)
def test_faults_are_named(parts, options, says):
    with pytest.raises(ValueError, match=says):
        attach(parts, **options)


def test_a_reference_of_another_family_is_refused(parts):
    with pytest.raises(ValueError, match="16 channels, the model works on 4"):
        attach((parts[0], parts[1], torch.zeros(1, 16, 8, 8)))


def test_the_node_encodes_and_fits_the_picture(tiny, parts, sample):
    from atelier.host.design.reference_attention import encode
    from atelier.nodes.ideate import ReferenceAttention

    vae, image = tiny.vae(), torch.rand(1, 100, 200, 3)
    assert encode(vae, image, 128).shape[-2:] == (8, 16)
    (model,) = ReferenceAttention().execute(parts[0], vae, image, 1.0, 50.0, 0.0, 1.0, 0, 1000, 128, "prompt only")
    assert torch.isfinite(sample(model, parts[1]("red"), parts[1](""), LATENT)).all()


def test_sdxl_keeps_its_size_vector(tiny, parts, sample, host):
    """SDXL's second input (pooled text and sizes) goes into the reference's pass too."""
    import comfy.latent_formats
    import comfy.model_base

    model = tiny.unet(
        kind=comfy.model_base.SDXL,
        latent_format=comfy.latent_formats.SDXL,
        num_classes="sequential",
        adm_in_channels=2816,
    )
    entry = lambda text: [[parts[1](text)[0][0], {"pooled_output": torch.ones(1, 1280)}]]  # noqa: E731
    out = sample(attach((model, entry, parts[2])), entry("red"), entry(""), LATENT)
    assert torch.isfinite(out).all() and not torch.allclose(out, sample(model, entry("red"), entry(""), LATENT))
