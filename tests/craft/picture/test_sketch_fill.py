"""Filling a sketch: what the outline encloses becomes cloth, the paper does not."""

import numpy as np
import pytest
from atelier.craft.picture.sketch_fill import filled, inside


def box(gap: int = 0) -> np.ndarray:
    """A drawn rectangle, with a gap in its upper side."""
    sheet = np.ones((256, 192, 3), np.float32)
    for line in (np.s_[60:62, 40:140], np.s_[180:182, 40:142], np.s_[60:182, 40:42], np.s_[60:182, 140:142]):
        sheet[line] = 0
    sheet[60:62, 90 : 90 + gap] = 1
    return sheet


def test_the_inside_is_filled_and_the_paper_is_not():
    cloth = np.zeros((8, 8, 3), np.float32) + np.array([0.8, 0.2, 0.1], np.float32)
    made, where = filled(box(), cloth, lines=1.0)
    np.testing.assert_allclose(made[100, 100], [0.8, 0.2, 0.1], atol=0.01)
    assert (made[20, 20] == 1).all() and not where[20, 20] and where[100, 100]
    assert (made[61, 100] == 0).all()
    faint = filled(box(), cloth, lines=0.0)[0]
    np.testing.assert_allclose(faint[61, 100], [0.8, 0.2, 0.1], atol=0.01)


@pytest.mark.parametrize("gap", [0, 3, 9])
def test_small_gaps_are_closed(gap):
    assert abs(int(inside(box(gap)).sum()) - 102 * 122) < 300


def test_an_open_outline_is_refused():
    with pytest.raises(ValueError, match="not closed"):
        inside(box(60))
    with pytest.raises(ValueError, match="no dark lines"):
        inside(np.ones((64, 64, 3), np.float32))


def test_the_cloth_is_repeated_at_its_scale():
    cloth = np.zeros((16, 16, 3), np.float32)
    cloth[:, 8:] = 1
    edges = {
        scale: int((np.abs(np.diff(filled(box(), cloth, scale)[0][120, 50:130, 0])) > 0.3).sum())
        for scale in (0.5, 1.0)
    }
    assert edges[0.5] > edges[1.0] >= 1
