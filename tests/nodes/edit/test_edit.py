"""Edit Part with tiny real networks in the host: exact background, start depths, soft masks, batches, chains,
inpainting models.
"""

import pytest
import torch
from atelier.tests.nodes.edit.edit_part import SIZE, box, picture, run


@pytest.fixture(scope="module")
def parts(tiny):
    clip = tiny.clip()

    def cond(text):
        return clip.encode_from_tokens_scheduled(clip.tokenize(text))

    return {"model": tiny.unet(), "vae": tiny.vae(), "positive": cond("red dress"), "negative": cond("")}


@pytest.mark.parametrize("feather", [0, 5])
@pytest.mark.parametrize("size", [(64, 80), (61, 77)])
def test_outside_the_mask_every_bit_is_the_inputs(edit, parts, size, feather):
    image, mask = picture(size=size), box(size)
    _, result, _ = run(edit, parts, image, mask, feather=feather, seam_colour=0.5)
    outside = mask[0] == 0
    assert torch.equal(result[0][outside], image[0][outside])
    assert (result[0][~outside] - image[0][~outside]).abs().mean() > 0.01


def test_the_latents_background_is_exact_too(edit, parts):
    image, mask = picture(), box()
    vae = parts["vae"]
    samples, _, _ = run(edit, parts, image, mask)
    before = vae.encode(image)
    cells = torch.zeros(before.shape[-2:], dtype=torch.bool)
    cells[2:6, 2:5] = True
    assert torch.equal(samples[..., ~cells], before[..., ~cells])
    assert (samples[..., cells] - before[..., cells]).abs().mean() > 0.01


@pytest.mark.parametrize("blending", ["exact background", "published (HieraFashDiff)"])
@pytest.mark.parametrize(("start", "level"), [("A1 length (911)", 911), ("A5 hem (591)", 591)])
def test_the_edit_starts_at_the_published_depth_for_every_step_count(edit, parts, start, level, blending):
    from atelier.host.design import edit_sampler

    for steps in (5, 10, 30):
        settings = edit_sampler.EditSettings(
            0, steps, 1.0, "euler", "ddim_uniform", float(level), start[:2], blending=blending
        )
        sigmas, levels = edit_sampler.edit_sigmas(parts["model"], settings)
        step = 1000 // steps
        assert level - step <= levels[0] <= level
        assert len(sigmas) == len(levels) + 1 and sigmas[-1] == 0


def test_a_deeper_start_changes_more(edit, parts):
    image, mask = picture(), box()
    _, low, report = run(edit, parts, image, mask, start="free", start_level=200.0)
    _, high, _ = run(edit, parts, image, mask, start="free", start_level=1000.0)
    vae = parts["vae"]
    nothing = vae.decode(vae.encode(image))
    inside = mask[0] > 0
    assert (high - nothing)[0][inside].abs().mean() > (low - nothing)[0][inside].abs().mean()
    assert report.startswith("2 of 6 steps")


def test_no_step_left_is_said(edit, parts):
    with pytest.raises(ValueError, match=r"None of the 3 steps.*lowest is"):
        run(edit, parts, picture(), box(), steps=3, scheduler="simple", start="free", start_level=5.0)


def test_prompts_are_scheduled_from_the_start_on(edit, parts):
    """Of two windows of the prompt only the one below the start level can change the result."""
    from atelier.host.prompt.prompt_windows import restrict
    from atelier.nodes import prompt  # noqa: F401  (the node list loads as a whole)

    model, clip = parts["model"], parts["positive"]
    early = [[torch.randn_like(clip[0][0]), dict(clip[0][1])]]
    late = [[torch.randn_like(clip[0][0]), dict(clip[0][1])]]
    other = [[torch.randn_like(clip[0][0]), dict(clip[0][1])]]

    def result(first, second):
        positive = [*restrict(first, 1000, 700, model), *restrict(second, 700, 0, model)]
        return run(edit, {**parts, "positive": positive}, picture(), box(), start="free", start_level=650.0)[1]

    assert torch.equal(result(early, late), result(other, late))
    assert not torch.equal(result(early, late), result(early, other))


def test_soft_masks_change_less_where_they_are_lighter(edit, parts):
    image = picture()
    mask = box(value=1.0)
    mask[:, :, 28:] *= 0.35
    vae = parts["vae"]
    base = vae.encode(image)
    samples, result, _ = run(edit, parts, image, mask, soft_mask=True, steps=10, start="free", start_level=1000.0)
    hard, _, _ = run(edit, parts, image, box(), steps=10, start="free", start_level=1000.0)
    strong, weak = (
        (slice(None), slice(None), slice(2, 6), slice(2, 3)),
        (slice(None), slice(None), slice(2, 6), slice(4, 5)),
    )
    assert (samples - base)[weak].abs().mean() < 0.8 * (hard - base)[weak].abs().mean()
    assert (samples - base)[strong].abs().mean() > 0.5 * (hard - base)[strong].abs().mean()
    assert torch.equal(result[0][mask[0] == 0], image[0][mask[0] == 0])


def test_batches_and_variants(edit, parts):
    images = picture(2)
    masks = torch.cat([box(), box(rows=(48, 72), cols=(40, 60))])
    samples, result, _ = run(edit, parts, images, masks, variants=2)
    assert result.shape == (4, SIZE[1], SIZE[0], 3) and len(samples) == 4
    for row in range(4):
        outside = masks[row % 2] == 0
        assert torch.equal(result[row][outside], images[row % 2][outside])
    assert not torch.equal(result[0], result[2])
    with pytest.raises(ValueError, match="3 masks"):
        run(edit, parts, images, box(count=3))


def test_the_same_seed_gives_the_same_bits(edit, parts):
    assert torch.equal(run(edit, parts, picture(), box())[1], run(edit, parts, picture(), box())[1])


def test_five_edits_in_a_row_leave_the_rest_alone(edit, parts):
    image = picture()
    latent, current = None, image
    places = [((0, 16), (0, 16)), ((0, 16), (32, 48)), ((32, 48), (0, 16)), ((32, 48), (32, 48)), ((64, 80), (16, 32))]
    changed = torch.zeros(SIZE[1], SIZE[0], dtype=torch.bool)
    for number, (rows, cols) in enumerate(places):
        mask = box(rows=rows, cols=cols)
        samples, current, _ = run(edit, parts, current, mask, seed=number, latent=latent, steps=3)
        latent = {"samples": samples}
        changed |= mask[0] > 0
    assert torch.equal(current[0][~changed], image[0][~changed])
    # the chain of latents never saw the decoder: its untouched cells are still the first encoding
    first = parts["vae"].encode(image)
    cells = torch.nn.functional.max_pool2d(changed[None, None].float(), 8)[0, 0] > 0
    assert torch.equal(samples[..., ~cells], first[..., ~cells])
    again, decayed = image, None
    for number, (rows, cols) in enumerate(places):
        decayed, again, _ = run(edit, parts, again, box(rows=rows, cols=cols), seed=number, steps=3)
    assert not torch.equal(decayed[..., ~cells], first[..., ~cells])  # the control: encoding anew each time does drift
    with pytest.raises(ValueError, match="same Edit Part"):
        run(edit, parts, picture(size=(96, 80)), box((96, 80)), latent=latent)


def test_an_inpainting_checkpoint_gets_the_greyed_picture_and_the_mask(edit, parts, tiny, monkeypatch):
    model = tiny.unet(in_channels=9)
    model.model.set_inpaint()
    seen = []
    forward = model.model.diffusion_model.forward
    monkeypatch.setattr(
        model.model.diffusion_model, "forward", lambda x, *a, **k: (seen.append(x.clone()), forward(x, *a, **k))[1]
    )
    image, mask = picture(), box()
    _, result, _ = run(edit, {**parts, "model": model}, image, mask)
    assert torch.equal(result[0][mask[0] == 0], image[0][mask[0] == 0])
    x = seen[0][:1]
    assert x.shape[1] == 9
    cells = torch.zeros(10, 8)
    cells[2:6, 2:5] = 1
    assert torch.equal(x[0, 4], cells)
    grey = torch.where(mask[..., None] > 0, torch.full_like(image, 0.5), image)
    expected = model.model.process_latent_in(parts["vae"].encode(grey))
    assert torch.allclose(x[:, 5:], expected, atol=1e-5)


def test_published_blending_runs_the_published_loop(edit, parts):
    """Its result is the prompt room's edit sampler on the same latent, mask and noise."""
    import comfy.sample
    from atelier.host.prompt import hierafashdiff_sampler as published
    from atelier.models.hierafashdiff.schedules import edit_timesteps

    image, mask = picture(), box()
    samples, result, _ = run(edit, parts, image, mask, blending="published (HieraFashDiff)", steps=8)
    base = parts["vae"].encode(image)
    cells = torch.zeros(1, 10, 8)
    cells[:, 2:6, 2:5] = 1
    sigmas = published.published_sigmas(parts["model"], edit_timesteps("A3", 8, by_index=False), clean_end=True)
    expected = comfy.sample.sample_custom(
        parts["model"],
        comfy.sample.prepare_noise(base, 1),
        2.0,
        published.edit_sampler(cells),
        sigmas,
        parts["positive"],
        parts["negative"],
        base,
        seed=1,
        disable_pbar=True,
    )
    assert torch.equal(samples[..., 2:6, 2:5], expected[..., 2:6, 2:5])
    assert torch.equal(result[0][mask[0] == 0], image[0][mask[0] == 0])
    assert edit.VALIDATE_INPUTS("free", "published (HieraFashDiff)") is not True


@pytest.mark.parametrize(
    ("image", "mask", "said"),
    [
        (picture(), torch.zeros(1, SIZE[1], SIZE[0]), "empty"),
        (picture(), torch.zeros(1, 64, 64), "64x64"),
        (picture().fill_(float("nan")), box(), "NaN"),
    ],
)
def test_unfit_inputs_are_refused_before_sampling(edit, parts, image, mask, said):
    with pytest.raises(ValueError, match=said):
        run(edit, parts, image, mask)


def test_a_photograph_goes_through_detection_masks_and_edit(edit, parts):
    """On a public-domain portrait with the real pose networks; the tiny UNet only has to keep to its place."""
    from atelier.host.body.body_backends import photo_problem
    from atelier.nodes.body import DetectBody
    from atelier.nodes.masks import BodyPartMaskEditor

    if photo_problem():
        pytest.skip(photo_problem())
    skimage = pytest.importorskip("skimage.data", reason="scikit-image, which carries the photograph, is not installed")
    photo = torch.from_numpy(skimage.astronaut()[::2, ::2].copy()).float()[None] / 255
    pose, found, *_ = DetectBody().execute(photo, "photo", 0, "none")["result"]
    mask, soft, _ = BodyPartMaskEditor().execute(
        "collar", "both intersected", -0.05, 2, 4, "face + hair", "A4 collar", "Dress", 0, 64, 64, "",
        image=photo, pose_keypoint=pose, parts=found,
    )["result"]  # fmt: skip
    _, result, _ = run(edit, parts, photo, mask, start="A4 collar (671)", steps=3, feather=4)
    assert 0.003 < mask.mean() < 0.2
    assert torch.equal(result[mask == 0], photo[mask == 0]) and not torch.equal(result[soft == 1], photo[soft == 1])
