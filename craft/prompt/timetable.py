"""The timetable of a hierarchical prompt: which words are said at which noise level, and at which steps of a run.

Noise levels are the published timesteps, 1000 (pure noise) to 0 (the finished picture). A stage is said while
stop <= level < start; the first stage has no upper end, the last one no lower end.

Source: HieraFashDiff (arXiv 2401.07450), the prompt schedule C(t); borders and counts as in its released training code.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..text_door import checked_items, quoted
from .prompt_text import LEVELS, Attribute, split_commas, unescape
from .vocabulary import area_rank

PUBLISHED_BORDERS = (900.0, 800.0, 710.0, 630.0, 560.0, 500.0)
PUBLISHED_CONCEPT_ITEMS = 5  # category, style, occasion, effect, feeling
POSE_PUBLISHED, POSE_DISABLED_RULE = 1000.0, 950.0  # the pose map is shown below this level
ORDERS = ("published", "as given", "mask area")
JOINS = ("accumulate", "one at a time", "published caption")


@dataclass(frozen=True)
class Stage:
    """One stretch of noise levels with one text; `said`: the attributes in it, `new`: those that joined here."""

    text: str
    start: float
    stop: float
    said: tuple[str, ...] = ()
    new: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        if self.new:
            return "+ " + ", ".join(self.new)
        return "concept" if not self.said else ", ".join(self.said)


@dataclass(frozen=True)
class Timetable:
    """The stages from noise to picture, without gap or overlap, and the negative prompt, which is said throughout.

    windows: (timestep_start, timestep_end) of each stage in sigmas of one model, float32 values; None: no model
    is known yet.
    literal: brackets are text, and only the first 77 tokens are kept, as the published system does.
    against: what joins the negative prompt below the first stage.
    """

    stages: tuple[Stage, ...]
    negative: str = ""
    windows: tuple[tuple[float, float], ...] | None = None
    literal: bool = False
    against: str = ""

    def negatives(self) -> list[tuple[str, float, float]]:
        """The negative prompt as (text, from level, to level), without gap or overlap."""
        if not self.against or len(self.stages) < 2:
            return [(self.negative, LEVELS, 0.0)]
        border = self.stages[0].stop
        both = ", ".join(text for text in (self.against, self.negative) if text.strip())
        return [(self.negative, LEVELS, border), (both, border, 0.0)]

    def text_at(self, level: float) -> str:
        """What is said at a noise level."""
        return self.stages[self.stage_at(level)].text

    def stage_at(self, level: float) -> int:
        return next(i for i, stage in enumerate(self.stages) if level >= stage.stop or i == len(self.stages) - 1)


@dataclass(frozen=True)
class Step:
    """One model call of a run: counted from 1, its sigma, its noise level where the model tells it, its stage."""

    number: int
    sigma: float
    level: float | None
    stage: int


def build(
    concept: str,
    attributes: Sequence[Attribute],
    borders: Sequence[float] = PUBLISHED_BORDERS,
    *,
    order: str = "published",
    join: str = "accumulate",
    negative: str = "",
    stress: bool = False,
) -> Timetable:
    """Lay concept and attributes out over the stages.

    The concept alone is said above the first border; attribute i joins at border i, the rest at the last one.
    join "accumulate" (published) keeps every attribute once it was said; "one at a time" says concept + one attribute
    per stage and everything in the stages that are left; "published caption" treats concept and attributes as one
    caption and cuts it at its commas as the published code does. An attribute with its own range takes no stage of its
    own.
    stress: below the first stage the concept is part of the negative prompt, so that guidance follows what attributes
    add to it (our own; with the guidance of two texts as in Brooks et al. 2023, InstructPix2Pix, equation 3, the
    concept's own share left at 1).
    Raises ValueError for an empty concept, an unknown order or join, mask order without areas, and stress with the
    published caption.
    """
    if join not in JOINS:
        raise ValueError(f"join is {join!r}; expected one of {', '.join(JOINS)}.")
    if not concept.strip() and join != "published caption":
        raise ValueError(
            "The concept is empty, so the first stage would say nothing; write at least the kind of garment."
        )
    attributes = ordered(checked_items(attributes, "attributes", "attributes"), order)
    if stress and join == "published caption":
        raise ValueError(
            "The published caption has no concept of its own to stress attributes against; choose another join."
        )
    if join == "published caption":
        return _with_negative(from_caption(_one_caption(concept, attributes), borders), negative)
    concept = unescape(" ".join(line.strip() for line in concept.split("\n") if line.strip())).rstrip(", ")
    cuts = sorted({*borders, *(end for a in attributes for end in (a.start, a.stop) if end is not None)}, reverse=True)
    edges = [LEVELS, *(cut for cut in cuts if 0.0 < cut < LEVELS), 0.0]
    staged = [a for a in attributes if a.start is None]
    stages: list[Stage] = []
    for start, stop in itertools.pairwise(edges):
        turn = sum(border >= start for border in borders)  # 0 = ideation, i = the stage below border i
        now = {id(a) for a in _staged_now(staged, turn, len(borders), join)}
        said = [a for a in attributes if id(a) in now or _spans(a, start, stop)]
        _append(stages, ", ".join([concept, *(a.said() for a in said)]), start, stop, tuple(a.text for a in said))
    return Timetable(tuple(stages), negative, against=concept if stress else "")


def _spans(attribute: Attribute, start: float, stop: float) -> bool:
    """Whether the attribute's own range, where it has one, covers the stretch from `start` down to `stop`."""
    if attribute.start is None or attribute.stop is None:
        return False
    return attribute.stop <= stop and start <= attribute.start


def from_caption(caption: str, borders: Sequence[float] = PUBLISHED_BORDERS) -> Timetable:
    r"""The published training rule on one comma-separated caption.

    Items are split at every comma (except \,), the first 5, 6, 7 ... are stripped and joined with ',' (no space); below
    the last border the caption is said as it was written. Missing items are no error: the stages are then equal.
    """
    items = [unescape(item).strip() for item in split_commas(caption)]
    edges = [LEVELS, *borders, 0.0]
    stages: list[Stage] = []
    for index, (start, stop) in enumerate(itertools.pairwise(edges)):
        count = PUBLISHED_CONCEPT_ITEMS + index
        last = index == len(borders)
        text = unescape(caption) if last else ",".join(items[:count])
        _append(stages, text, start, stop, tuple(items[PUBLISHED_CONCEPT_ITEMS : None if last else count]))
    return Timetable(tuple(stages), literal=True)


def ordered(attributes: Sequence[Attribute], order: str) -> tuple[Attribute, ...]:
    """Sort attributes: "published" by the area that their kind changes (length, sleeve length, sleeve type, collar,
    hem, then the rest), "as given", or "mask area" by measured area, largest first. Equal ones keep their order."""
    if order == "published":
        return tuple(sorted(attributes, key=lambda a: area_rank(a.kind)))
    if order == "as given":
        return tuple(attributes)
    if order != "mask area":
        raise ValueError(f"order is {order!r}; expected one of {', '.join(ORDERS)}.")
    bare = [a.text for a in attributes if a.area is None]
    if bare:
        raise ValueError(
            f"Order by mask area needs a mask for every attribute; {', '.join(map(quoted, bare))} has none. "
            "Connect masks to the scheduler (one a line, in that order) or to each Attribute node."
        )
    return tuple(sorted(attributes, key=lambda a: -(a.area or 0.0)))


def with_areas(attributes: Sequence[Attribute], areas: Sequence[float]) -> tuple[Attribute, ...]:
    """Give every attribute its measured area, 0..1. Raises ValueError when the numbers differ."""
    if len(areas) != len(attributes):
        raise ValueError(
            f"There are {len(areas)} masks for {len(attributes)} attributes; give one mask for each, in the same order."
        )
    return tuple(replace(a, area=float(area)) for a, area in zip(attributes, areas))


def steps_of(timetable: Timetable, sigmas: Sequence[float], levels: Sequence[float | None] | None = None) -> list[Step]:
    """Resolve a timetable against the sigmas of a run (n+1 values; the last one is where the run ends, not a call).

    levels: noise level of each sigma, for the table. Raises ValueError without windows, without a step, or when a sigma
    is said by no stage or by two.
    """
    if timetable.windows is None:
        raise ValueError("This timetable has no sigmas yet; connect the MODEL to the scheduler or to Show Timetable.")
    if len(sigmas) < 2:
        raise ValueError(f"SIGMAS holds {len(sigmas)} value(s); a run needs at least 2 (one step).")
    levels = [None] * len(sigmas) if levels is None else levels
    steps = []
    for number, (sigma, level) in enumerate(zip(sigmas[:-1], levels), 1):
        active = [i for i, (start, end) in enumerate(timetable.windows) if end <= sigma <= start]
        if len(active) != 1:
            raise ValueError(
                f"Step {number} (sigma {sigma:.6g}) is said by {len(active)} stages; expected exactly one."
            )
        steps.append(Step(number, float(sigma), level, active[0]))
    return steps


def unreached(timetable: Timetable, steps: Sequence[Step]) -> list[int]:
    """The stages that no step of the run reaches."""
    return sorted(set(range(len(timetable.stages))) - {step.stage for step in steps})


def table(timetable: Timetable, steps: Sequence[Step], note: str = "") -> str:
    """The resolved timetable as text: one line a stage, then one line a step."""
    lines = [f"{len(steps)} steps, {len(timetable.stages)} stages" + (f" ({note})" if note else ""), ""]
    for index, stage in enumerate(timetable.stages):
        lines.append(f"stage {index + 1}  levels {span(stage)}  {steps_said(index, steps)}  {stage.text}")
    for warning in warnings(timetable, steps):
        lines.append(warning)
    lines += ["", "step      sigma    level  stage"]
    for step in steps:
        level = "" if step.level is None else f"{step.level:.6g}"
        lines.append(
            f"{step.number:4d} {step.sigma:10.5g} {level:>8}  {step.stage + 1}  {timetable.stages[step.stage].name}"
        )
    for text, start, stop in timetable.negatives():
        span_said = "" if (start, stop) == (LEVELS, 0.0) else f"levels {start:g}-{stop:g}  "
        lines.append(f"negative  {span_said}{text if text.strip() else '(empty)'}")
    return "\n".join(lines)


def warnings(timetable: Timetable, steps: Sequence[Step]) -> list[str]:
    """Plain sentences about what an artist would want to know of this run."""
    found = [
        f"No step reaches stage {index + 1} (levels {span(timetable.stages[index])}): {timetable.stages[index].name}"
        for index in unreached(timetable, steps)
    ]
    for index in range(len(timetable.stages)):
        count = sum(step.stage == index for step in steps)
        if len(timetable.stages) > 2 and len(steps) >= 4 and count > 0.8 * len(steps):
            found.append(
                f"{count} of {len(steps)} steps fall into stage {index + 1}; another scheduler shares them "
                "out more evenly."
            )
    return found


def span(stage: Stage) -> str:
    return f"{stage.start:g}-{stage.stop:g}"


def steps_said(index: int, steps: Sequence[Step]) -> str:
    numbers = [step.number for step in steps if step.stage == index]
    if not numbers:
        return "no step"
    return f"step {numbers[0]}" if len(numbers) == 1 else f"steps {numbers[0]}-{numbers[-1]}"


def _staged_now(staged: Sequence[Attribute], turn: int, border_count: int, join: str) -> list[Attribute]:
    """The attributes without a range of their own that are said in stage `turn`."""
    if join == "one at a time" and 0 < turn <= min(len(staged), border_count - 1):
        return [staged[turn - 1]]
    return list(staged if turn == border_count else staged[:turn])


def _append(stages: list[Stage], text: str, start: float, stop: float, said: tuple[str, ...]) -> None:
    """Add a stage, or lengthen the last one when the text is the same."""
    if stages and stages[-1].text == text:
        stages[-1] = replace(stages[-1], stop=stop)
        return
    before = set(stages[-1].said) if stages else set()
    stages.append(Stage(text, start, stop, said, tuple(item for item in said if item not in before)))


def _one_caption(concept: str, attributes: Sequence[Attribute]) -> str:
    for attribute in attributes:
        if attribute.start is not None or attribute.weight != 1.0:
            raise ValueError(
                f"The published caption knows neither ranges nor weights, but {quoted(attribute.text)} has one; "
                "remove it or choose another way to join."
            )
    return ", ".join([concept, *(a.text.replace(",", r"\,") for a in attributes)]) if attributes else concept


def _with_negative(timetable: Timetable, negative: str) -> Timetable:
    return replace(timetable, negative=negative)
