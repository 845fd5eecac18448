"""Prompt stage: attributes, the Hierarchical Prompt Scheduler, and its timetable."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..craft.prompt.prompt_text import LEVELS, MAX_WEIGHT
from ..craft.prompt.timetable import JOINS, ORDERS, PUBLISHED_BORDERS
from ..craft.prompt.vocabulary import presets
from ..craft.text_door import quoted
from .text_inputs import takes_text

if TYPE_CHECKING:
    from ..craft.prompt.timetable import Timetable
    from ..host.host_types import Clip, Conditioning, Mask, Model, Sigmas

BORDERS_TEXT = ", ".join(f"{border:g}" for border in PUBLISHED_BORDERS)
NO_PRESET = "none"
CATEGORY = "Atelier/Prompt"
MODEL_TOOLTIP = (
    "The model as it will be sampled (behind nodes that change its sampling). With it the borders are exact for its "
    "noise schedule; without it they are percents."
)


def level_input(default: float, tooltip: str) -> tuple[str, dict]:
    return ("FLOAT", {"default": default, "min": 0.0, "max": LEVELS, "step": 1.0, "round": 0.001, "tooltip": tooltip})


@takes_text("words")
class Attribute:
    TITLE = "Attribute"
    CATEGORY = CATEGORY
    DESCRIPTION = (
        "One attribute of a garment (a collar, a hem, a sleeve), from the fashion vocabulary or in your "
        "own words. Chain them."
    )
    SEARCH_ALIASES = ["fashion attribute", "garment detail", "collar", "sleeve", "hem", "vocabulary"]
    RETURN_TYPES = ("ATELIER_ATTRIBUTES",)
    RETURN_NAMES = ("attributes",)
    OUTPUT_TOOLTIPS = ("All attributes up to this one, for the next Attribute or the Hierarchical Prompt Scheduler.",)
    FUNCTION = "execute"

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        return {
            "required": {
                "preset": (
                    [NO_PRESET, *presets()],
                    {"tooltip": "A value from the published fashion vocabulary, by kind."},
                ),
                "words": (
                    "STRING",
                    {
                        "default": "",
                        "tooltip": "Your own words. With a preset they are put in front of it: 'red' + 'V-Neck'. The "
                        "line grammar (@range, *weight) works here too.",
                    },
                ),
                "weight": (
                    "FLOAT",
                    {
                        "default": 1.0,
                        "min": 0.0,
                        "max": MAX_WEIGHT,
                        "step": 0.05,
                        "tooltip": "Emphasis in the text encoder; 1 is neutral.",
                    },
                ),
                "when": (
                    ["by order", "own range"],
                    {
                        "tooltip": "By order: the scheduler gives it the next stage. Own range: said only between the "
                        "two levels below."
                    },
                ),
                "from_level": level_input(LEVELS, "Own range: said below this noise level. 1000 is pure noise."),
                "to_level": level_input(
                    0.0, "Own range: said down to this noise level (included). 0 is the finished picture."
                ),
            },
            "optional": {
                "attributes": ("ATELIER_ATTRIBUTES", {"tooltip": "Attributes in front of this one."}),
                "mask": (
                    "MASK",
                    {"tooltip": "Where this attribute is seen. Only its area is used, for the order 'mask area'."},
                ),
            },
        }

    @classmethod
    def VALIDATE_INPUTS(cls, words: str | None = None, preset: str | None = None) -> bool | str:
        # An input that comes over a link is None here, and is checked when it arrives.
        if words is None or preset is None:
            return True
        return _problem(lambda: _attribute(preset, words, 1.0, "by order", LEVELS, 0.0))

    def execute(
        self, preset: str, words: str, weight: float, when: str, from_level: float, to_level: float,
        attributes: tuple = (), mask: Mask | None = None,
    ) -> tuple:  # fmt: skip
        from dataclasses import replace

        new = _attribute(preset, words, weight, when, from_level, to_level)
        if mask is not None:
            new = replace(new, area=float((mask >= 0.5).float().mean()))
        return ((*attributes, new),)


@takes_text("concept", "attributes", "negative", "borders")
class HierarchicalPromptScheduler:
    TITLE = "Hierarchical Prompt Scheduler"
    CATEGORY = CATEGORY
    DESCRIPTION = (
        "Says the concept first and adds attributes one after another while the picture forms, the largest area first "
        "(HieraFashDiff's schedule). Works with any checkpoint, sampler and scheduler; exactly one stage "
        "is active at each call."
    )
    SEARCH_ALIASES = [
        "prompt schedule",
        "HieraFashDiff",
        "concept to design",
        "prompt editing",
        "timestep range",
        "attributes",
    ]
    RETURN_TYPES = ("CONDITIONING", "CONDITIONING", "ATELIER_TIMETABLE")
    RETURN_NAMES = ("positive", "negative", "timetable")
    OUTPUT_TOOLTIPS = (
        "One entry a stage, each active in its own window of noise levels.",
        "The negative prompt.",
        "What is said when; look at it with Show Timetable.",
    )
    FUNCTION = "execute"

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        text = {"multiline": True, "dynamicPrompts": True}
        return {
            "required": {
                "clip": (
                    "CLIP",
                    {"rawLink": True, "tooltip": "The text encoder. Stages that did not change are not encoded again."},
                ),
                "concept": (
                    "STRING",
                    {
                        **text,
                        "default": "Dress, Elegant, Party, Slimming, Drape Feeling",
                        "tooltip": "What is said from the first step on: garment, style, occasion, effect, feeling.",
                    },
                ),
                "attributes": (
                    "STRING",
                    {
                        **text,
                        "default": "Long\nSleeveless\nV-Neck\nRuffle Hem",
                        "tooltip": "One attribute a line; commas belong to it. Optional: 'collar: ' in front, "
                        "'@800-300' (range) and '*1.2' (weight) behind.",
                    },
                ),
                "negative": (
                    "STRING",
                    {**text, "default": "", "tooltip": "What the picture should not be; said throughout."},
                ),
                "borders": (
                    "STRING",
                    {
                        "default": BORDERS_TEXT,
                        "tooltip": "Noise levels (1000 = noise, 0 = picture) at which the next attribute joins. The "
                        "default is the published list.",
                    },
                ),
                "order": (
                    list(ORDERS),
                    {
                        "tooltip": "Published: by the area a kind changes (length, sleeve length, sleeve type, "
                        "collar, hem, others). As given: line order. Mask area: by measured masks, largest first."
                    },
                ),
                "join": (
                    list(JOINS),
                    {
                        "tooltip": "Accumulate: attributes stay once said (published). One at a time: concept + one "
                        "attribute a stage, everything at the end. Published caption: one comma-separated caption cut "
                        "as in HieraFashDiff's training; brackets are text."
                    },
                ),
            },
            "optional": {
                "model": ("MODEL", {"tooltip": MODEL_TOOLTIP}),
                "more_attributes": (
                    "ATELIER_ATTRIBUTES",
                    {"tooltip": "Chained Attribute nodes; they follow the lines above."},
                ),
                "masks": (
                    "MASK",
                    {
                        "tooltip": "For the order 'mask area': a batch with one mask for each attribute, lines first, "
                        "then the chained ones."
                    },
                ),
                "stress_attributes": (
                    "BOOLEAN",
                    {
                        "default": False,
                        "tooltip": "Below the first stage the concept joins the negative, so that cfg follows what the "
                        "attributes add. For models that follow colours but miss details; raise cfg to about 6. Off: "
                        "as published.",
                    },
                ),
            },
        }

    @classmethod
    def VALIDATE_INPUTS(
        cls, concept: str | None = None, attributes: str | None = None, borders: str | None = None,
        negative: str | None = None, join: str | None = None, stress_attributes: bool = False,
    ) -> bool | str:  # fmt: skip
        # An input that comes over a link is None here, and is checked when it arrives.
        if join is not None and join not in JOINS:
            return f"join is {join!r}; expected one of {', '.join(JOINS)}."
        if stress_attributes and join == JOINS[-1]:
            return "The published caption has no concept of its own to stress attributes against; choose another join."
        return _problem(
            lambda: _check_texts(concept or "", attributes or "", borders or BORDERS_TEXT, negative or "", join)
        )

    def execute(
        self, clip: Clip, concept: str, attributes: str, negative: str, borders: str, order: str, join: str,
        model: Model | None = None, more_attributes: tuple = (), masks: Mask | None = None,
        stress_attributes: bool = False,
    ) -> dict:  # fmt: skip
        from ..craft.prompt import timetable as craft
        from ..host.prompt import prompt_graph, prompt_windows

        lines, border_levels = _check_texts(concept, attributes, borders, negative, join)
        every = (*lines, *more_attributes)
        if masks is not None:
            every = craft.with_areas(every, (masks >= 0.5).float().mean(dim=(-2, -1)).flatten().tolist())
        timetable = craft.build(
            concept, every, border_levels, order=order, join=join, negative=negative, stress=stress_attributes
        )
        if model is not None:
            timetable = prompt_windows.resolved(timetable, model)
        positive, negative, graph = prompt_graph.encode(timetable, clip, model)
        return {"result": (positive, negative, timetable), "expand": graph}


class StageWindow:
    TITLE = "Stage Window"
    CATEGORY = CATEGORY
    DESCRIPTION = (
        "Makes a conditioning active between two noise levels only. Neighbouring windows neither overlap "
        "nor leave a gap, "
        "unlike percent ranges, which both count a step that lies on their border."
    )
    SEARCH_ALIASES = ["timestep range", "ConditioningSetTimestepRange", "prompt window", "half-open"]
    RETURN_TYPES = ("CONDITIONING",)
    RETURN_NAMES = ("conditioning",)
    OUTPUT_TOOLTIPS = ("The entries in front, then this conditioning with its window.",)
    FUNCTION = "execute"

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        return {
            "required": {
                "conditioning": (
                    "CONDITIONING",
                    {"tooltip": "What is said in the window. A window that it already has is kept as well."},
                ),
                "from_level": level_input(LEVELS, "Active below this noise level; 1000 means from the very start."),
                "to_level": level_input(0.0, "Active down to this noise level (included); 0 means to the very end."),
                "first_77_tokens": (
                    "BOOLEAN",
                    {"default": False, "tooltip": "Cut longer texts after the first 77 tokens, as HieraFashDiff does."},
                ),
            },
            "optional": {
                "model": ("MODEL", {"tooltip": MODEL_TOOLTIP}),
                "append_to": (
                    "CONDITIONING",
                    {"tooltip": "Entries to keep in front of this one: chain the stages with it."},
                ),
            },
        }

    def execute(
        self, conditioning: Conditioning, from_level: float, to_level: float, first_77_tokens: bool,
        model: Model | None = None, append_to: Conditioning = (),
    ) -> tuple:  # fmt: skip
        from ..host.prompt.prompt_windows import restrict

        entries = restrict(conditioning, from_level, to_level, model, first_chunk=first_77_tokens)
        return ([*append_to, *entries],)


class ShowTimetable:
    TITLE = "Show Timetable"
    CATEGORY = CATEGORY
    DESCRIPTION = (
        "Shows which words are said at which step of a run, as a picture and as text, and names every "
        "stage that no step reaches."
    )
    SEARCH_ALIASES = ["prompt schedule", "which prompt at which step", "sigmas table", "debug prompt"]
    RETURN_TYPES = ("IMAGE", "STRING")
    RETURN_NAMES = ("picture", "text")
    OUTPUT_TOOLTIPS = ("The timetable as a picture.", "The same as text, with every step's sigma and noise level.")
    FUNCTION = "execute"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        return {
            "required": {
                "timetable": ("ATELIER_TIMETABLE", {"tooltip": "From the Hierarchical Prompt Scheduler."}),
                "sigmas": (
                    "SIGMAS",
                    {"tooltip": "The steps of the run: BasicScheduler with the settings of your sampler."},
                ),
            },
            "optional": {
                "model": (
                    "MODEL",
                    {"tooltip": "Needed when the scheduler had none; also gives each step its noise level."},
                )
            },
        }

    def execute(self, timetable: Timetable, sigmas: Sigmas, model: Model | None = None) -> dict:
        import torch

        from ..craft.prompt.timetable_picture import draw
        from ..host.images import preview
        from ..host.prompt.prompt_graph import resolve

        timetable, steps, text = resolve(timetable, sigmas, model)
        picture = torch.from_numpy(draw(timetable, steps)).float()[None] / 255.0
        return {"ui": {"images": preview(picture, "timetable"), "text": [text]}, "result": (picture, text)}


def _attribute(preset, words, weight, when, from_level, to_level):
    """The Attribute of the node's widgets. Raises ValueError."""
    from dataclasses import replace

    from ..craft.prompt.prompt_text import parse_attribute

    if preset not in (NO_PRESET, *presets()):
        raise ValueError(f"preset is {quoted(str(preset))}; choose one of the list, or {NO_PRESET!r}.")
    kind, value = ("", "") if preset == NO_PRESET else preset.split(": ", 1)
    if not words.strip() and not value:
        raise ValueError("Choose a preset or write some words; this attribute says nothing.")
    # The value goes behind the words but in front of their @range and *weight, which end a line.
    parsed = parse_attribute(words, "words") if words.strip() else parse_attribute(value, "preset")
    text = f"{parsed.text} {value}" if words.strip() and value else parsed.text
    parsed = replace(parsed, text=text, kind=kind or parsed.kind, weight=parsed.weight * weight)
    if when == "own range":
        if from_level <= to_level:
            raise ValueError(
                f"The range {from_level:g}-{to_level:g} is empty; levels fall from 1000 to 0, so from_level must "
                "be the higher one."
            )
        parsed = replace(parsed, start=float(from_level), stop=float(to_level))
    return parsed


def _check_texts(concept, attributes, borders, negative, join):
    """(parsed attributes, borders), the free texts checked too, unless brackets are text. Raises PromptError."""
    from ..craft.prompt.prompt_text import check_text, parse_attributes, parse_borders

    if join != "published caption":
        check_text(concept, "concept")
        check_text(negative, "negative")
    return parse_attributes(attributes), parse_borders(borders)


def _problem(check):
    """True, or the sentence of the first mistake, as the host's validation wants it."""
    try:
        check()
    except ValueError as mistake:
        return str(mistake)
    return True


NODES = [Attribute, HierarchicalPromptScheduler, StageWindow, ShowTimetable]
