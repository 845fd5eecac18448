"""Garment, Dress, Composite and Compare one by one: exactness, batches, sizes, pose, refusals."""

import numpy as np
import pytest
import torch
from PIL import Image

DRESS = {
    "framing": "as trained",
    "size": "as trained",
    "width": 768,
    "height": 1024,
    "padding": 0.05,
    "grow": 0,
    "feather": 3,
}


def photo(height=117, width=90, rows=1, seed=0):
    return torch.rand(rows, height, width, 3, generator=torch.Generator().manual_seed(seed))


def marked(height=117, width=90, *boxes):
    mask = torch.zeros(max(1, len(boxes)), height, width)
    for row, (left, top, right, bottom) in zip(mask, boxes or [(20, 30, 70, 90)]):
        row[top:bottom, left:right] = 1
    return mask


def outfit_kv(tryon_model, *pictures_and_categories):
    from atelier.host.tryon.encode_graph import combine, encode_part
    from atelier.nodes.dress import Garment

    parts = []
    for picture, category in pictures_and_categories:
        (outfit,) = Garment().execute(picture, category, "pad", 0, 0)
        parts.append(encode_part(tryon_model.model, tryon_model.vae, outfit.garments[0]))
    return combine(parts, "together")


def dress_up(tryon_model, person, mask, kv=None, pose=None, seed=3, cfg=1.5, steps=2, noise=None, **changes):
    """Dress, sample with the host's own loop, decode, composite; returns the picture and what Dress gave."""
    import comfy.sample
    from atelier.nodes.dress import Composite, Dress

    dressed = Dress().execute(
        tryon_model.model, tryon_model.vae, person, mask, **{**DRESS, **changes}, garments=kv, pose=pose
    )
    positive, negative, latent, stitch, _ = dressed
    start = latent["samples"]
    if noise is None:
        noise = torch.randn(start.shape, generator=torch.Generator().manual_seed(seed))
    samples = comfy.sample.sample(
        tryon_model.model,
        noise,
        steps,
        cfg,
        "euler",
        "normal",
        positive,
        negative,
        start,
        denoise=1.0,
        seed=seed,
        disable_pbar=True,
    )
    (image,) = Composite().execute(stitch, tryon_model.vae.decode(samples), 0.0)
    return image, dressed


@torch.no_grad()
def test_a_batch_of_two_is_two_singles(tryon_model):
    people, masks = photo(rows=2), marked(117, 90, (20, 30, 70, 90), (5, 10, 60, 60))
    pose = photo(rows=2, seed=9)
    kv = outfit_kv(tryon_model, (photo(40, 30, seed=4), "upper"))
    noise = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    both, _ = dress_up(tryon_model, people, masks, kv, pose, noise=noise)
    for row in range(2):
        one = slice(row, row + 1)
        single, _ = dress_up(tryon_model, people[one], masks[one], kv, pose[one], noise=noise[one])
        assert (both[one] - single).abs().max() < 1e-4
    assert (both[0] - both[1]).abs().max() > 0.1


@torch.no_grad()
def test_each_person_may_wear_another_outfit(tryon_model):
    from atelier.host.tryon.encode_graph import combine

    people, mask = photo(rows=1).repeat(2, 1, 1, 1), marked()
    kvs = [outfit_kv(tryon_model, (photo(40, 30, seed=seed), "upper")) for seed in (4, 5)]
    noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1)).repeat(2, 1, 1, 1)
    both, _ = dress_up(tryon_model, people, mask, combine(kvs, "one outfit a person"), noise=noise)
    for row, kv in enumerate(kvs):
        single, _ = dress_up(tryon_model, people[:1], mask, kv, noise=noise[:1])
        assert (both[row : row + 1] - single).abs().max() < 1e-4
    assert (both[0] - both[1]).abs().max() > 0.01
    # The same from one Garment node with a picture for each person.
    pictures = torch.cat([photo(40, 30, seed=4), photo(40, 30, seed=5)])
    again, _ = dress_up(tryon_model, people, mask, outfit_kv(tryon_model, (pictures, "upper")), noise=noise)
    assert torch.equal(both, again)


@torch.no_grad()
@pytest.mark.parametrize(
    ("height", "width", "changes"),
    [
        (117, 90, {"size": "keep"}),
        (117, 90, {"size": "keep", "framing": "whole picture"}),
        (53, 211, {"size": "custom", "width": 72, "height": 104}),
        (64, 64, {"size": "custom", "width": 65, "height": 200, "framing": "whole picture"}),
        (131, 83, {"feather": 0, "grow": 7}),
        (200, 300, {"padding": 0.4, "feather": 12}),
    ],
)
def test_any_size(tryon_model, height, width, changes):
    person, mask = photo(height, width), marked(height, width, (width // 4, 9, width // 2, height - 20))
    image, (_, _, latent, stitch, crop) = dress_up(tryon_model, person, mask, **changes)
    assert image.shape == person.shape and torch.isfinite(image).all()
    assert latent["samples"].shape[2:] == (crop.shape[1] // 8, crop.shape[2] // 8)
    outside = stitch.mask == 0
    assert torch.equal(image[outside], person[outside])
    assert (stitch.mask > 0).sum() >= mask.sum() and not torch.equal(image[~outside], person[~outside])


@torch.no_grad()
def test_what_the_model_sees_is_the_published_blend(tryon_model):
    """person * (1 - mask) + mask * pose with the person in [-1,1] and the pose in [0,1]; mask by the top-left pixel."""
    person, pose, mask = photo(96, 80), photo(96, 80, seed=1), marked(96, 80, (13, 21, 60, 70))
    options = {"size": "keep", "framing": "whole picture"}
    _, (positive, negative, _, _, sees) = dress_up(tryon_model, person, mask, pose=pose, **options)
    published = (person * 2 - 1) * (1 - mask[..., None]) + mask[..., None] * pose
    assert (sees * 2 - 1 - published).abs().max() < 1e-6
    _, (_, _, _, _, grey) = dress_up(tryon_model, person, mask, **options)
    assert (grey[mask > 0] == 0.5).all()
    (_, given), (_, other) = positive[0], negative[0]
    assert torch.equal(given["concat_mask"], mask[:, None, ::8, ::8]) and torch.equal(
        other["concat_mask"], given["concat_mask"]
    )
    assert torch.equal(given["concat_latent_image"], tryon_model.vae.encode(sees))


@torch.no_grad()
def test_a_pose_is_cropped_with_the_person(tryon_model):
    """Keypoints and their drawing, of the whole picture, land on the same pixels of the crop."""
    from atelier.craft.body.pose_drawing import draw_pose
    from atelier.nodes.dress import Dress

    points = np.zeros((18, 3), np.float32)
    points[1], points[8], points[2] = (90, 120, 1), (95, 300, 1), (60, 130, 1)
    keypoints = [
        {"people": [{"pose_keypoints_2d": points.ravel().tolist()}], "canvas_width": 300, "canvas_height": 400}
    ]
    drawn = torch.from_numpy(draw_pose(points, 300, 400, 4 * 300 / 512)).float()[None] / 255
    person, mask = photo(400, 300), marked(400, 300, (40, 80, 140, 330))
    options = {**DRESS, "size": "custom", "width": 192, "height": 256}
    sees = [
        Dress().execute(tryon_model.model, tryon_model.vae, person, mask, **options, pose=pose)[4]
        for pose in (keypoints, drawn)
    ]
    lines = [
        (s - Dress().execute(tryon_model.model, tryon_model.vae, person, mask, **options)[4]).abs().amax(-1) > 0.15
        for s in sees
    ]
    assert lines[0].sum() > 300
    assert (lines[0] & lines[1]).sum() > 0.75 * (lines[0] | lines[1]).sum()


@torch.no_grad()
def test_without_garments_it_is_the_plain_network(tryon_model):
    with_none, _ = dress_up(tryon_model, photo(), marked(), None)
    from atelier.host.tryon.encoded_garment import GarmentKV

    assert torch.equal(with_none, dress_up(tryon_model, photo(), marked(), GarmentKV())[0])
    dressed, _ = dress_up(tryon_model, photo(), marked(), outfit_kv(tryon_model, (photo(40, 30, seed=4), "upper")))
    assert (with_none - dressed).abs().max() > 0.01


def bad(picture, value):
    picture = picture.clone()
    picture[0, 3, 3, 0] = value
    return picture


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"mask": torch.zeros(1, 117, 90)}, "mask is empty"),
        ({"mask": torch.full((1, 117, 90), 0.01)}, "mask is empty"),
        ({"mask": torch.ones(1, 64, 64)}, "mask is 64x64 pixels, the picture 90x117"),
        ({"mask": torch.ones(3, 117, 90)}, "1 pictures came with 3 masks"),
        ({"mask": torch.full((1, 117, 90), float("nan"))}, "mask holds NaN"),
        ({"person": bad(photo(), float("nan"))}, "person holds NaN"),
        ({"person": photo()[:, :0]}, "person is empty"),
        ({"person": photo()[..., :1]}, "person has 1 channels, 3 expected"),
        ({"person": torch.rand(1, 117, 90, 4)}, "person has 4 channels, 3 expected"),
        ({"pose": photo(rows=3)}, "1 people came with 3 pose pictures"),
        ({"pose": bad(photo(), float("inf"))}, "pose holds NaN"),
    ],
)
def test_dress_refuses(tryon_model, changes, sentence):
    from atelier.nodes.dress import Dress

    inputs = {"person": photo(), "mask": marked(), **changes}
    with pytest.raises(ValueError, match=sentence):
        Dress().execute(tryon_model.model, tryon_model.vae, **inputs, **DRESS)


@torch.no_grad()
def test_dress_refuses_what_does_not_belong_together(tryon_model, tiny):
    from dataclasses import replace

    from atelier.host.tryon.encode_graph import combine
    from atelier.host.tryon.encoded_garment import GarmentKV
    from atelier.nodes.dress import Dress

    kv = outfit_kv(tryon_model, (photo(40, 30), "upper"))
    foreign = GarmentKV(((replace(kv.outfits[0][0], scale=1.0),),))
    wide = GarmentKV(((replace(kv.outfits[0][0], latent=torch.zeros(1, 16, 6, 4)),),))
    for garments, sentence in (
        (foreign, "encoded for latents of 4 channels at scale 1.0"),
        (wide, "encoded for latents of 16 channels"),
        (combine([kv, kv, kv], "one outfit a person"), "2 people came with 3 outfits"),
    ):
        with pytest.raises(ValueError, match=sentence):
            Dress().execute(tryon_model.model, tryon_model.vae, photo(rows=2), marked(), **DRESS, garments=garments)
    with pytest.raises(ValueError, match="not a try-on model"):
        Dress().execute(tiny.unet(), tryon_model.vae, photo(), marked(), **DRESS)


def test_garment_refuses_and_whitens():
    from atelier.nodes.dress import Garment

    picture, mask = photo(40, 30), torch.zeros(1, 40, 30)
    with pytest.raises(ValueError, match="leaves nothing of the garment"):
        Garment().execute(picture, "upper", "pad", 0, 0, mask=mask)
    with pytest.raises(ValueError, match="garment has 2 channels, 3 or 4 expected"):
        Garment().execute(picture[..., :2], "upper", "pad", 0, 0)
    with pytest.raises(ValueError, match="garment holds NaN"):
        Garment().execute(bad(picture, float("nan")), "upper", "pad", 0, 0)
    mask[:, 10:20, 5:25] = 1
    (outfit,) = Garment().execute(picture, "upper", "pad", 0, 0, mask=mask)
    (inverted,) = Garment().execute(picture, "upper", "pad", 0, 0, mask=1 - mask, mask_marks="background")
    (alpha,) = Garment().execute(torch.cat([picture, mask[..., None]], -1), "upper", "pad", 0, 0)
    whitened = outfit.garments[0].picture
    assert (whitened[mask == 0] == 1).all() and torch.equal(whitened[mask == 1], picture[mask == 1])
    assert outfit.garments[0].content == inverted.garments[0].content == alpha.garments[0].content
    nothing = torch.zeros(1, 64, 64)  # Load Image's mask of a file without transparency
    (plain,) = Garment().execute(picture, "upper", "pad", 0, 0, mask=nothing, mask_marks="background")
    assert torch.equal(plain.garments[0].picture, picture)
    (two,) = Garment().execute(picture, "lower", "pad", 0, 0, outfit=plain)
    assert [g.category for g in two.garments] == ["upper", "lower"] and len(plain.garments) == 1


def test_compare_shows_what_changed(host):
    from atelier.nodes.refine import Compare

    before, after = photo(40, 30), photo(40, 30)
    after[0, 10:20, 10:20] = 1 - after[0, 10:20, 10:20]
    shown = Compare().execute(before, after, "difference", 0.5)
    (image,) = shown["result"]
    assert image[0, :10].max() == 0 and image[0, 10:20, 10:20].mean() > 0.5
    (entry,) = shown["ui"]["images"]
    saved = Image.open(host.base / "temp" / entry["subfolder"] / entry["filename"])
    assert entry["type"] == "temp" and saved.size == (30, 40)
    with pytest.raises(ValueError, match="came with 2"):
        Compare().execute(photo(rows=2), photo(rows=3), "split", 0.5)
