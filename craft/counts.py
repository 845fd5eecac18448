"""The one rule for how many: one serves all, or one for each; any other number is a sentence with both numbers."""

from __future__ import annotations

from typing import Any, Protocol


class Batch(Protocol):
    """A list, an array or a tensor."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


def check_count(given: int, name: str, count: int, owners: str = "pictures") -> None:
    """Raises ValueError unless `given` things called `name` are one for all `count` owners, or one for each.

    >>> check_count(2, "poses", 3)
    ValueError: 3 pictures came with 2 poses; give one for all, or one for each.
    """
    if given not in (1, count) or not given:
        raise ValueError(f"{count} {owners} came with {given} {name}; give one for all, or one for each.")


def common_count(**given: int | None) -> int:
    """The number of results of things that meet, by their names (`pictures=3, poses=1`; None: not connected).

    Raises ValueError where two of them are several and differ, or one of them is nothing at all.
    """
    counts = {name.replace("_", " "): number for name, number in given.items() if number is not None}
    owners = max(counts, key=lambda name: counts[name])
    for name, number in counts.items():
        check_count(number, name, counts[owners], owners)
    return counts[owners]


def own(batch: Batch, index: int) -> Any:
    """What belongs to the picture of this index: its own, or the one that serves all."""
    return batch[0] if len(batch) == 1 else batch[index]
