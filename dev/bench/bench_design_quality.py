"""`python dev.py bench design-quality --seeds A:B`: does the studio designer draw what it is asked for?

Captions and poses of held-out drawn figures go through the host's nodes and this pack's; a classifier that was trained
on drawn figures reads the pictures. Its own errors are the ceiling, printed in the same table (originals, and originals
through the autoencoder), beside the controls: no prompt, another figure's caption, another figure's pose.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..figures import write_figures
from . import design_forms, design_measures, design_sheet
from .design_judge import OTHER_TRUE, Figures, Judge, Row, figures

HELD_OUT = 500_000  # seeds from here on belong to training
FORMS = ("flat", "hierarchical", "binding", "phrases", "ideation", "refine", "empty")
DEFAULT = "flat,hierarchical,empty"
NAMES = {
    "flat": "flat prompt", "hierarchical": "hierarchical", "binding": "hierarchical + binding (mix)",
    "phrases": "hierarchical + binding (phrases)", "ideation": "hierarchical + ideation",
    "refine": "hierarchical + refine",
    "empty": "control: empty prompt",
}  # fmt: skip
SHOWN_FIGURES = 6  # of a sheet


def forms_drawn(
    studio: design_forms.Studio, held: Figures, names: list[str], settings, drafts: int, prompts: int, generator
) -> dict[str, Row]:
    """form -> its pictures, every form on the same captions, poses and noise."""
    rows = {}
    for name in names:
        began = time.perf_counter()
        if name == "ideation":
            rows[name] = _ideation(studio, held, settings, drafts, prompts, generator)
        elif name == "refine":
            rows[name] = _refine(studio, held, settings, rows.get("hierarchical"))
        else:
            rows[name] = _plain(studio, held, name, settings)
            if prompts and name in ("flat", "hierarchical"):
                rows[name].seconds = time.perf_counter() - began
                rows[name].drafts = _drafts(studio, held, name, settings, drafts, prompts)
        rows[name].seconds = rows[name].seconds or time.perf_counter() - began
    return rows


def _plain(studio, held: Figures, name: str, settings) -> Row:
    if name == "empty":
        asks = [replace(ask, concept="", attributes=()) for ask in held.asks]
        made = design_forms.drawn(studio, asks, settings)
    elif name in ("binding", "phrases"):
        form = {"binding": "mix", "phrases": "phrases"}[name]
        asks = held.asks[: settings.bound]
        made = design_forms.bound(studio, asks, replace(settings, bind_form=form))
    else:
        asks = held.asks
        made = design_forms.drawn(studio, asks, settings, _SAY[name])
    pictures = torch.zeros_like(held.pictures[: len(asks)])
    for done, (members, drawn) in enumerate(made):
        pictures[members] = drawn
        _progress(NAMES[name], (done + 1) * len(members), len(pictures))
    return Row(pictures, np.arange(len(pictures)))


_SAY = {"flat": design_forms.flat, "hierarchical": design_forms.hierarchical}


def _drafts(studio, held: Figures, name: str, settings, drafts: int, prompts: int) -> list[Tensor]:
    """Several pictures of each of the first prompts, from other noise."""
    asks = [replace(ask, seed=ask.seed + 7919 * (draft + 1)) for ask in held.asks[:prompts] for draft in range(drafts)]
    made = [None] * len(asks)
    for members, drawn in design_forms.drawn(studio, asks, settings, _SAY[name]):
        for row, picture in zip(members, drawn):
            made[row] = picture
        _progress(f"{NAMES[name]}, drafts", sum(m is not None for m in made), len(made))
    return [torch.stack(made[i * drafts : (i + 1) * drafts]) for i in range(prompts)]


def _ideation(studio, held: Figures, settings, drafts: int, prompts: int, generator) -> Row:
    """The drafts are the pictures that are measured: `drafts` of each of the first prompts."""
    groups = []
    for number, pictures in design_forms.ideas(studio, held.asks[:prompts], settings, drafts, generator):
        groups.append(pictures)
        _progress(NAMES["ideation"], number + 1, prompts)
    return Row(torch.cat(groups), np.repeat(np.arange(prompts), drafts), drafts=groups)


def _refine(studio, held: Figures, settings, first: Row | None) -> Row:
    """The hierarchical results, noised to half the way and drawn again."""
    first = first or _plain(studio, held, "hierarchical", settings)
    pictures = torch.zeros_like(first.pictures)
    for start in range(0, len(pictures), settings.batch):
        rows = range(start, min(start + settings.batch, len(pictures)))
        said = [design_forms.hierarchical(studio, held.asks[i])[0] for i in rows]
        positive, negative = design_forms.conditioned(
            studio, design_forms.stacked(said), [held.asks[i].pose for i in rows]
        )
        images = first.pictures[list(rows)].movedim(1, -1)
        pictures[list(rows)] = design_forms.refined(studio, positive, negative, start, settings, images=images)
        _progress(NAMES["refine"], rows[-1] + 1, len(pictures))
    return Row(pictures, np.arange(len(pictures)))


def _progress(what: str, done: int, count: int) -> None:
    print(f"\r{what} {min(done, count)}/{count}   ", end="", flush=True)


SHOWN = (*design_measures.COLUMNS, "mean", "interval", "leak", "PCK", "FID", "coverage", "diversity", "n", "s each")


def line(name: str, found: dict[str, float], seconds: float = 0.0) -> str:
    cells = []
    for column in SHOWN:
        if column == "interval":
            cells.append(f"{found['low']:.3f} to {found['high']:.3f}")
        elif column == "s each":
            cells.append(f"{seconds / found['n']:.2f}" if seconds else "")
        elif column == "n":
            cells.append(f"{found['n']:.0f}")
        else:
            cells.append(
                f"{found[column]:.2f}"
                if column == "FID" and column in found
                else f"{found[column]:.3f}"
                if column in found
                else ""
            )
    return f"| {name} | {' | '.join(cells)} |"


def report(judge: Judge, rows: dict[str, Row]) -> tuple[str, dict[str, float], dict[str, dict]]:
    """The table in markdown, the figures as one flat dict, and accuracies of every figure by form."""
    lines = [f"| form | {' | '.join(SHOWN)} |", "|---|" + "---|" * len(SHOWN)]
    flat: dict[str, float] = {}
    tables: dict[str, dict] = {}

    def add(name: str, row: Row, label: str | None = None, **control) -> None:
        found, table = judge.measure(row, **control)
        lines.append(line(name, found, row.seconds if not control else 0.0))
        flat.update({f"{name}/{key}": value for key, value in found.items()})
        if label:
            tables[label] = table

    drafts = next((row.drafts for row in rows.values() if row.drafts), [])
    add("ceiling: originals", judge.originals(len(drafts), len(drafts[0]) if drafts else 0))
    add("ceiling: autoencoder round trips", judge.round_trips())
    own = judge.own_accuracy()
    flat |= {f"classifier on originals/{head}": value for head, value in own.items()}
    for name, row in rows.items():
        add(NAMES[name], row, name)
    best = next((name for name in ("hierarchical", "flat") if name in rows), None)
    if best:
        add("control: another figure's caption", rows[best], captions=1)
        add("control: another figure's pose", rows[best], poses=1)
    lines += [
        "",
        "classifier on originals, every head: " + ", ".join(f"{head} {value:.3f}" for head, value in own.items()),
    ]
    lines += _differences(tables, rows, flat)
    return "\n".join(lines), flat, tables


def _differences(tables: dict[str, dict], rows: dict[str, Row], flat: dict[str, float]) -> list[str]:
    """Each form against the hierarchical one on the same figures, with its interval."""
    lines, base = [], "hierarchical" if "hierarchical" in tables else None
    for name, table in tables.items():
        if base is None or name == base:
            continue
        own = np.unique(rows[name].rows)
        change, low, high = design_measures.difference(
            table, {column: values[own] for column, values in tables[base].items()}
        )
        lines.append(
            f"{NAMES[name]} minus {NAMES[base]}, mean accuracy on the same figures: {change:+.3f} ({low:+.3f} to"
            f" {high:+.3f})"
        )
        flat |= {f"{NAMES[name]} minus hierarchical": change, f"{NAMES[name]} minus hierarchical/low": low,
                 f"{NAMES[name]} minus hierarchical/high": high}  # fmt: skip
    return lines


def run(args: list[str], json_path: str | None = None) -> int:
    from ..setup.torchvision_ops import make_importable

    make_importable()
    options, seeds, names = _options(args)
    torch.set_num_threads(options.threads)
    settings = design_forms.Settings(
        options.steps, options.cfg, options.sampler, options.scheduler, options.batch, options.binding, options.bound,
        repulsion=options.repulsion,
    )  # fmt: skip
    held = figures(seeds)
    judge = Judge(held, seeds)
    files = sorted(Path(options.designer).glob("*.safetensors")) if options.designer else None
    studio = design_forms.Studio(files).decoding_thin() if names else None
    if studio and options.rescale:
        studio.rescaled(options.rescale)
    generator = options.generator if names and "ideation" in names else None
    if generator:
        from ...host.design.ideation_source import GeneratorSource, load_generator

        generator = GeneratorSource(load_generator(generator))
    prompts = min(options.prompts, len(held.asks))
    with torch.autocast("cpu", torch.bfloat16, enabled=options.bf16):
        rows = forms_drawn(studio, held, names, settings, options.drafts, prompts, generator)
    table, flat, accuracies = report(judge, rows)
    print(
        f"\rdesigner, {len(seeds)} captions and poses, {settings.steps} steps of {settings.sampler}, cfg"
        f" {settings.cfg:g}{f' rescaled by {options.rescale:g}' if options.rescale else ''}"
        f"{', bf16' if options.bf16 else ''}; intervals are 95 % over figures; what cannot be seen in"
        f" the true picture is not counted"
    )
    print(
        f"FID, coverage: {judge.true.shape[1]} features of the attribute classifier against {len(judge.true)} other"
        f" figures\n\n{table}"
    )
    if options.sheet:
        _sheet(Path(options.sheet), judge, rows, range(min(SHOWN_FIGURES, len(seeds))))
    if options.worst and rows:
        name = "hierarchical" if "hierarchical" in rows else names[0]
        worst = design_measures.least_right(accuracies[name], SHOWN_FIGURES)
        _sheet(Path(options.worst), judge, {name: rows[name]}, worst)
    write_figures(json_path, flat)
    return 0


def _options(args: list[str]):
    parser = argparse.ArgumentParser(prog="dev.py bench design-quality")
    parser.add_argument("--seeds", default="0:300", help="A:B, figures that training never draws (below 400000)")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--cfg", type=float, default=4.0)
    parser.add_argument("--rescale", type=float, default=0.0, help="multiplier of the host's RescaleCFG; 0: without")
    parser.add_argument("--sampler", default="euler")
    parser.add_argument("--scheduler", default="normal")
    parser.add_argument(
        "--forms", default=DEFAULT, help=f"some of {', '.join(FORMS)}, `all`, or `none`: the ceilings alone"
    )
    parser.add_argument("--binding", type=float, default=0.5, help="strength of Bind Attributes")
    parser.add_argument(
        "--bound", type=int, default=100, help="figures for the binding forms, which are drawn one by one"
    )
    parser.add_argument("--repulsion", type=float, default=0.3, help="of the Ideation Sampler")
    parser.add_argument("--drafts", type=int, default=4, help="pictures of one prompt, for diversity and ideation")
    parser.add_argument(
        "--prompts", type=int, default=0, help="prompts with several drafts (0: no diversity; ideation takes 40)"
    )
    parser.add_argument(
        "--generator", metavar="FILE", help="ideation generator; without it the drafts only push each other apart"
    )
    parser.add_argument("--designer", metavar="DIR", help="files of another designer than the shipped one")
    parser.add_argument("--bf16", action="store_true", help="draw in bfloat16: twice as fast where the CPU has AMX")
    parser.add_argument("--batch", type=int, default=12, help="pictures sampled together")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--sheet", metavar="PNG", help="also write a sheet of the first figures with the classifier's answers"
    )
    parser.add_argument("--worst", metavar="PNG", help="also write a sheet of the figures with the most mistakes")
    options = parser.parse_args(args)
    first, last = (int(n) for n in options.seeds.split(":"))
    if first < 0 or first >= last or last + OTHER_TRUE > HELD_OUT:
        parser.error(f"seeds {options.seeds}: 0 <= A < B <= {HELD_OUT - OTHER_TRUE} is held out from training")
    names = {"all": list(FORMS), "none": []}.get(options.forms, [name.strip() for name in options.forms.split(",")])
    unknown = [name for name in names if name not in FORMS]
    if unknown:
        parser.error(f"unknown forms {', '.join(unknown)}; there are {', '.join(FORMS)}")
    if "ideation" in names and not options.prompts:
        options.prompts = 40
    return options, range(first, last), sorted(names, key=FORMS.index)


def _sheet(path: Path, judge: Judge, rows: dict[str, Row], figures: Sequence[int]) -> None:
    """The originals and what every form drew of some figures, each beside what the classifier read in it."""
    figures = list(figures)
    made = {"original": judge.held.pictures[figures], "through the autoencoder": judge.round_trips(figures).pictures}
    made |= {NAMES[name]: design_sheet.first_of_each(row.pictures, row.rows, figures) for name, row in rows.items()}
    joints = judge.held.joints[figures]
    shown = {name: design_measures.read(judge.classifier, one, joints)[0] for name, one in made.items()}
    design_sheet.sheet(path, made, shown, [judge.held.asked[figure] for figure in figures])
