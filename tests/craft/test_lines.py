"""Lines that belong to pictures or to one another keep their place."""

import pytest
from atelier.craft.measure.lines import lines_of, paired_lines


def test_lines_that_are_empty_on_one_side_are_named():
    with pytest.raises(ValueError, match=r"^Line 2, 3 is empty in the captions or in the references only"):
        paired_lines("a red dress\n\na blue shirt", "a red dress\na tote bag\n\n")
    with pytest.raises(ValueError, match=r"^Line 2 is"):
        paired_lines("a red dress\na blue shirt", "a red dress")


def test_lines_that_are_empty_on_both_sides_are_left_out():
    assert paired_lines("a\n\nb\n", "c\n \nd\n\n") == (["a", "b"], ["c", "d"])


def test_one_line_a_picture():
    assert lines_of("a\nb\n\n", "texts") == ["a", "b"] and lines_of("", "texts") == []
    with pytest.raises(ValueError, match=r"^The texts have nothing in line 2 of 3"):
        lines_of("a\n\nb", "texts")
