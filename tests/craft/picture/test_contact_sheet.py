"""Sheets of pictures and before/after pictures."""

import numpy as np
import pytest
from atelier.craft.picture.contact_sheet import before_after, contact_sheet


def flat(colour, height=60, width=40):
    return np.full((height, width, 3), colour, np.uint8)


def test_every_picture_is_on_the_sheet_whole():
    colours = [(200, 0, 0), (0, 200, 0), (0, 0, 200), (10, 10, 10), (90, 0, 90)]
    sheet = contact_sheet([flat(c) for c in colours], [f"picture {i}" for i in range(5)], columns=3, title="Sheet")
    for colour in colours:
        assert (sheet == colour).all(-1).sum() >= 60 * 40
    plain = contact_sheet([flat(c) for c in colours], columns=3)
    assert sheet.shape[0] > plain.shape[0] and sheet.shape[1] == plain.shape[1]  # room for title and labels


def test_pictures_of_other_sizes_are_fitted_without_distortion():
    sheet = contact_sheet([flat((200, 0, 0)), flat((0, 200, 0), 30, 120)], cell=(40, 60), columns=2)
    green = (sheet == (0, 200, 0)).all(-1)
    rows, cols = green.any(1).sum(), green.any(0).sum()
    assert cols == 40 and rows == 10


def test_long_labels_stay_in_their_cell():
    short, long = (contact_sheet([flat(0), flat(0)], [text, "b"], columns=2) for text in ("a", "a" * 200))
    assert short.shape == long.shape


def test_before_and_after():
    red, blue = flat((200, 0, 0)), flat((0, 0, 200))
    split = before_after(red, blue, layout="split", position=0.25)
    assert (split[:, :8] == red[:, :8]).all() and (split[:, 12:] == blue[:, 12:]).all()
    assert before_after(red, red, layout="difference").max() == 0
    assert before_after(red, flat((201, 0, 0)), layout="difference").max() == 10
    both = before_after(red, flat((0, 0, 200), 120, 80), layout="side by side")
    assert (both == (200, 0, 0)).all(-1).sum() == (both == (0, 0, 200)).all(-1).sum() == 60 * 40


def test_refusals():
    with pytest.raises(ValueError, match="at least one picture"):
        contact_sheet([])
    with pytest.raises(ValueError, match="given 1 labels"):
        contact_sheet([flat(0), flat(1)], ["a"])
    with pytest.raises(ValueError, match="side by side, split or difference"):
        before_after(flat(0), flat(1), layout="wipe")
