"""`python dev.py bench reference-level`: what a swatch brings into a design, by noise level and strength of its pass.

Held-out dresses are asked for without a word on colour or pattern; a swatch of another dress is read by Reference
Attention. Counted: how often the picture shows the swatch's colour and pattern, and what it costs in the attributes
that the words do ask for. Rows without a reference are the control.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..figures import write_figures
from . import design_forms, design_measures
from .design_judge import WEIGHTS

LEVELS = "0,50,150,300,500,800"
STRENGTHS = "0.5,1,1.5"
ASKED = ("length", "sleeve length", "sleeve type", "collar", "hem")
SWATCH_SEEDS = 200_000  # of the dresses whose fabric is given
HELD_OUT = 400_000


@dataclass
class Case:
    """A swatch picture uint8 [1,h,w,3] in 0..1, what it shows, and the designs that it is given to."""

    swatch: Tensor
    colours: tuple[str, ...]
    pattern: str
    asks: list[design_forms.Ask]
    asked: list[dict[str, str]]
    joints: np.ndarray


def cases(first: int, swatches: int, each: int) -> list[Case]:
    from ...croquis import random_figure, render
    from ...croquis.captions import figure_caption
    from ...croquis.colours import colour_name
    from ..train.attribute_classifier import attributes_of

    out = []
    for number in range(swatches):
        fabric = random_figure(SWATCH_SEEDS + first + number, ("overall",))
        drawn = render(fabric, want=("swatch",)).swatches[0]
        garment = fabric.garments[0]
        named = 2 if garment.pattern == "stripes" else 1
        asks, asked, joints = [], [], []
        for seed in range(first + number * each, first + (number + 1) * each):
            spec = random_figure(seed, ("overall",))
            figure, said = render(spec, want=("pose",)), figure_caption(spec)
            concept = without_fabric(said["concept"])
            asks.append(design_forms.Ask(concept, tuple(said["attributes"]), figure.pose, seed))
            asked.append(attributes_of(spec))
            joints.append(figure.keypoints)
        picture = torch.from_numpy(drawn.copy())[None].float() / 255
        colours = tuple(colour_name(colour) for colour in garment.colours[:named])
        out.append(Case(picture, colours, garment.pattern, asks, asked, np.stack(joints).astype(np.float32)))
    return out


def without_fabric(concept: str) -> str:
    """A caption's concept (kind, colour, pattern, fit, mood) without its second and third item."""
    items = concept.split(", ")
    return ", ".join([items[0], *items[3:]])


def drawn(studio: design_forms.Studio, case: Case, settings, level: float, strength: float, size: int) -> Tensor:
    """The case's designs [B,3,H,W]; strength 0 reads no reference."""
    model = studio.model
    if strength:
        (model,) = studio.call(
            "AtelierReferenceAttention", model=model, vae=studio.vae, image=case.swatch, strength=strength,
            noise_level=level, start=0.0, end=1.0, first_block=0, last_block=1000, size=size, apply_to="prompt only",
        )  # fmt: skip
    said = [design_forms.flat(studio, ask)[0] for ask in case.asks]
    positive, negative = design_forms.conditioned(studio, design_forms.stacked(said), [ask.pose for ask in case.asks])
    noise = torch.cat([design_forms.noise_of(studio, ask, settings) for ask in case.asks])
    return studio.decode(design_forms.sampled(studio, model, positive, negative, noise, settings))


def measured(classifier, found: list[Case], made: list[Tensor]) -> dict[str, np.ndarray]:
    """figure -> one value a picture: the swatch's colour shown, its pattern shown, share of the asked
    attributes right.
    """
    values: dict[str, list[float]] = {"colour": [], "pattern": [], "attributes": []}
    for case, pictures in zip(found, made, strict=True):
        shown, _ = design_measures.read(classifier, pictures, case.joints)
        for one, asked in zip(shown, case.asked, strict=True):
            values["colour"].append(one["top colour"] in case.colours)
            values["pattern"].append(one["top pattern"] == case.pattern)
            answers = [design_measures.right(one, asked, head) for head in ASKED if head in asked]
            values["attributes"].append(np.mean(answers))
    return {name: np.array(numbers, float) for name, numbers in values.items()}


def run(args: list[str], json_path: str | None = None) -> int:
    options = _options(args)
    torch.set_num_threads(options.threads)
    from ...models.studio.attribute_classifier import load_classifier

    classifier = load_classifier(WEIGHTS / "attribute_classifier.safetensors")
    files = sorted(Path(options.designer).glob("*.safetensors")) if options.designer else None
    studio = design_forms.Studio(files).decoding_thin()
    settings = replace(design_forms.Settings(), steps=options.steps, cfg=options.cfg)
    found = cases(options.first, options.swatches, options.each)
    grid = [(0.0, 0.0), *((level, strength) for strength in options.strengths for level in options.levels)]
    lines, flat = ["| strength | level | colour | pattern | asked attributes |", "|---|---|---|---|---|"], {}
    for done, (level, strength) in enumerate(grid):
        with torch.autocast("cpu", torch.bfloat16, enabled=options.bf16):
            made = [drawn(studio, case, settings, level, strength, options.size) for case in found]
        cells = []
        for name, values in measured(classifier, found, made).items():
            error = float(values.std() / np.sqrt(len(values)))
            flat[f"strength {strength:g}, level {level:g}/{name}"] = float(values.mean())
            cells.append(f"{values.mean():.3f} ± {error:.3f}")
        lines.append(
            f"| {f'{strength:g} | {level:g}' if strength else 'control: no reference | '} | {' | '.join(cells)} |"
        )
        print(f"\r{done + 1}/{len(grid)}", end="", flush=True)
    count = options.swatches * options.each
    print(
        f"\rReference Attention, {options.swatches} swatches on {count} dresses, {settings.steps} steps, cfg"
        f" {settings.cfg:g}; ± one standard error\n"
    )
    print("\n".join(lines))
    write_figures(json_path, flat)
    return 0


def _options(args: list[str]):
    def numbers(text: str) -> list[float]:
        return [float(part) for part in text.split(",")]

    parser = argparse.ArgumentParser(prog="dev.py bench reference-level")
    parser.add_argument("--first", type=int, default=0, help="first seed; training never draws those below 400000")
    parser.add_argument("--swatches", type=int, default=12)
    parser.add_argument("--each", type=int, default=4, help="dresses that each swatch is given to")
    parser.add_argument("--levels", type=numbers, default=LEVELS)
    parser.add_argument("--strengths", type=numbers, default=STRENGTHS)
    parser.add_argument("--size", type=int, default=256, help="longer side of the swatch as it is read")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--cfg", type=float, default=4.0)
    parser.add_argument("--designer", metavar="DIR", help="files of another designer than the shipped one")
    parser.add_argument("--bf16", action="store_true", help="draw in bfloat16: twice as fast where the CPU has AMX")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(args)
    if (
        options.first < 0
        or options.first + max(options.swatches * options.each, SWATCH_SEEDS + options.swatches) > HELD_OUT
    ):
        parser.error(f"first seed {options.first}: figures from {HELD_OUT} on are not held out from training")
    return options
