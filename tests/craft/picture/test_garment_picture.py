"""A garment's picture: white around it, proportions kept or not as asked, a key that names its content."""

import pytest
import torch
from atelier.craft.picture.garment_picture import content_key, fit_garment, on_white


def test_pad_keeps_the_whole_garment_on_white():
    fitted = fit_garment(torch.zeros(1, 40, 90, 3), (48, 64), "pad")
    assert fitted.shape == (1, 64, 48, 3)
    rows = (fitted[0, :, 24, 0] < 0.5).nonzero()
    assert len(rows) == 40 * 48 // 90 and (fitted[0, 0] == 1).all() and (fitted[0, -1] == 1).all()
    exact = torch.rand(1, 64, 48, 3)
    assert torch.equal(fit_garment(exact, (48, 64), "pad"), exact)


def test_crop_cuts_the_centre_and_stretch_keeps_the_edges():
    image = torch.zeros(1, 40, 120, 3)
    image[:, :, :10] = 1
    assert fit_garment(image, (48, 64), "crop").max() < 0.01
    assert fit_garment(image, (48, 64), "stretch").max() > 0.99
    with pytest.raises(ValueError, match="pad, crop or stretch"):
        fit_garment(image, (48, 64), "melt")


def test_the_mask_turns_the_background_white():
    image, mask = torch.full((1, 64, 48, 3), 0.3), torch.zeros(1, 64, 48)
    mask[:, 20:40, 10:30] = 1
    cleaned = on_white(image, mask)
    assert (cleaned[mask == 0] == 1).all() and torch.equal(cleaned[mask == 1], image[mask == 1])


def test_key_is_content():
    image = torch.rand(1, 8, 8, 3)
    key = content_key(image, "upper", "pad", 0, 0)
    assert key == content_key(image.clone(), "upper", "pad", 0, 0)
    changed = image.clone()
    changed[0, 0, 0, 0] += 1e-6
    others = {
        content_key(changed, "upper", "pad", 0, 0),
        content_key(image, "lower", "pad", 0, 0),
        content_key(image.reshape(1, 4, 16, 3), "upper", "pad", 0, 0),
    }
    assert key not in others and len(others) == 3
