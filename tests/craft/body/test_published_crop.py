"""FastFit's own geometry: worked examples of the released rule, its traps included."""

import numpy as np
import pytest
from atelier.craft.body import published_crop as published
from PIL import Image


@pytest.mark.parametrize(
    ("picture", "mask_box", "target", "scaled", "box"),
    [
        ((855, 790), (4, 632, 699, 787), (384, 512), (553, 511), (35, 0, 419, 512)),  # sticks out by one pixel
        ((1254, 445), (109, 389, 795, 395), (512, 512), (1439, 510), (262, -1, 774, 511)),  # negative origin
        ((736, 486), (546, 451, 648, 473), (768, 1024), (5046, 3332), (3709, 2317, 4477, 3341)),  # the blow-up
        ((1002, 1633), (281, 349, 536, 684), (384, 512), (1379, 2247), (370, 453, 754, 965)),
    ],
)
def test_boxes(picture, mask_box, target, scaled, box):
    assert published.published_crop_box(picture, mask_box, target) == (scaled, box)


def test_crop_paste_and_sizes():
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 256, (190, 150, 3), np.uint8))
    mask = Image.new("L", image.size, 0)
    mask.paste(255, (40, 60, 100, 150))
    scaled, crop, crop_mask, place = published.published_adjust_input_image(image, mask, (48, 64))
    assert crop.size == crop_mask.size == (48, 64) and scaled.size == place.scaled
    assert np.array_equal(np.asarray(scaled.crop(place.box)), np.asarray(crop))
    same = published.published_paste_image_back(scaled, crop, place.box, 4)
    assert np.abs(np.asarray(same).astype(int) - np.asarray(scaled)).max() <= 1
    other = published.published_paste_image_back(scaled, Image.new("RGB", (48, 64), (0, 0, 0)), place.box, 4)
    assert np.abs(np.asarray(other).astype(int) - np.asarray(scaled)).max() > 50
    with pytest.raises(ValueError, match="mask is empty"):
        published.published_adjust_input_image(image, Image.new("L", image.size, 0))


def test_letterbox_is_white_and_crop_is_centred():
    red = Image.new("RGB", (90, 40), (255, 0, 0))
    boxed = np.asarray(published.published_resize_and_padding(red, (48, 64)))
    assert boxed.shape == (64, 48, 3) and (boxed[0] == 255).all() and (boxed[32] == (255, 0, 0)).all()
    assert (boxed[:, :, 1] == 0).sum() == 48 * (40 * 48 // 90)
    assert published.published_resize_and_crop(red, (48, 64)).size == (48, 64)
    assert published.published_resize_and_crop(red, None).size == (80, 32)
    assert published.published_ratio_box((1365, 761), (3, 4)) == (397, 0, 967, 761)
    assert published.published_crop_to_16_box((1365, 761)) == (2, 4, 1362, 756)
