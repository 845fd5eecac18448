"""A timetable as a graph of the host's own text encoding nodes, and resolved against a run's sigmas."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import torch
from comfy_execution.graph_utils import GraphBuilder

from ...craft.prompt import timetable as craft
from ...craft.prompt.timetable import Step, Timetable
from . import prompt_windows

if TYPE_CHECKING:
    from ..host_types import Model


def encode(timetable: Timetable, clip_link: list, model: Model | None = None) -> tuple[list, list, dict]:
    """(positive link, negative link, graph): a CLIPTextEncode for each stage and a Stage Window behind it.

    The encoding nodes get the CLIP as a link, so that the host's cache knows an unchanged stage by its text.
    """
    graph = GraphBuilder()
    prepare = literal_brackets if timetable.literal else str

    def encoded(text: str, **window):
        said = graph.node("CLIPTextEncode", clip=clip_link, text=prepare(text))
        if not window:
            return said.out(0)
        return graph.node(
            "AtelierStageWindow", conditioning=said.out(0), first_77_tokens=timetable.literal, **window
        ).out(0)

    def in_turn(said: list[tuple[str, float, float]]):
        link = None
        for text, start, stop in said:
            window = {"from_level": start, "to_level": stop}
            window |= {} if model is None else {"model": model}
            window |= {} if link is None else {"append_to": link}
            link = encoded(text, **window)
        return link

    positive = in_turn([(stage.text, stage.start, stage.stop) for stage in timetable.stages])
    negatives = timetable.negatives()
    if len(negatives) > 1:
        return positive, in_turn(negatives), graph.finalize()
    cut = {"from_level": 1000.0, "to_level": 0.0} if timetable.literal else {}
    return positive, encoded(timetable.negative, **cut), graph.finalize()


def literal_brackets(text: str) -> str:
    """Escape brackets, which the host reads as weights and the published tokenizer as text."""
    return re.sub(r"([()])", r"\\\1", text)


def resolve(
    timetable: Timetable, sigmas: torch.Tensor, model: Model | None = None
) -> tuple[Timetable, list[Step], str]:
    """The timetable with windows, its steps for these sigmas, and the table as text.

    Without any model the standard Stable Diffusion schedule is taken, and the table says so. Raises ValueError where
    that cannot be right (no sigma above 1: a flow model, or a run that begins late).
    """
    note, levels = "", None
    if model is not None:
        timetable = prompt_windows.resolved(timetable, model)
        levels = prompt_windows.levels_of(model.get_model_object("model_sampling"), sigmas)
    elif timetable.windows is None:
        if float(sigmas.max()) <= 1.0:
            raise ValueError(
                "These sigmas may be a flow model's; connect the MODEL to the scheduler or to Show Timetable."
            )
        timetable = prompt_windows.resolved_for_standard_schedule(timetable)
        note = "no MODEL connected: Stable Diffusion's standard noise schedule assumed"
    steps = craft.steps_of(timetable, sigmas.float().tolist(), levels)
    return timetable, steps, craft.table(timetable, steps, note)
