"""Pick lists."""

import pytest
from atelier.craft.pick_list import parse_picks


@pytest.mark.parametrize(
    "text, indices",
    [
        ("", [0, 1, 2, 3]),
        ("all", [0, 1, 2, 3]),
        ("2", [1]),
        ("3, 1", [2, 0]),
        ("1-3", [0, 1, 2]),
        ("4 - 2; 1", [3, 2, 1, 0]),
        ("2 2", [1, 1]),
    ],
)
def test_picks(text, indices):
    assert parse_picks(text, 4) == indices


@pytest.mark.parametrize(
    "text, says", [("5", "there are 4"), ("0", "does not exist"), ("two", "'two'"), ("1-9", "1-9")]
)
def test_faults(text, says):
    with pytest.raises(ValueError, match=says):
        parse_picks(text, 4)
