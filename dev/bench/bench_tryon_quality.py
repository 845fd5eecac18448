"""`python dev.py bench tryon-quality --seeds A:B`: how well the shipped studio try-on puts garments on, with its
controls.

Runs the shipped weights through the plain-torch network (the host's network is held equal to it by a test), one step,
the result pasted inside the mask. Figures come from seeds that training never draws.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from ...craft.whole_files import save_picture
from ..figures import write_figures
from ..pack import ROOT
from ..train.picture_loss import laplacian, ssim
from ..train.tryon import detected_masks, one_step, pairs

WEIGHTS = ROOT / "models" / "studio" / "weights"
HELD_OUT = 900_000  # seeds from here on belong to training
KINDS = ((("upper", "lower"), (0, 1)), (("overall",), (0,)), (("upper", "lower"), (0,)), (("upper", "lower"), (1,)))
RIVALS = 9
ARMS = ("try-on", "K,V emptied", "K,V of others", "mean colour", "round trip")


class Sample:
    """A held-out figure, what is to be put on it, and renders of what else it could wear."""

    def __init__(self, seed: int, kind: tuple, detect=None):
        from ...croquis import random_figure, render

        self.seed, self.kind = seed, kind
        self.spec = random_figure(seed, kind[0])
        self.batch = pairs.collate([pairs.draw(seed, kind)])
        if detect:
            self.batch = detect(self.batch, tuple(self.spec.garments[i].category for i in kind[1]))
        self._render, self._random_figure = render, random_figure

    def wearing(self, index: int, garment) -> torch.Tensor:
        garments = tuple(garment if i == index else g for i, g in enumerate(self.spec.garments))
        person = self._render(replace(self.spec, garments=garments), want=("person",)).person
        return torch.from_numpy(person).permute(2, 0, 1).float() / 255

    def tests(self, index: int) -> dict[str, tuple[list[torch.Tensor], list[str]]]:
        """test -> (pictures, the true one first; what each shows)."""
        from ...croquis.fabric import PATTERNS
        from ...croquis.garment import ALLOWED_SLEEVE_LENGTHS, random_garment

        own = self.spec.garments[index]
        rng = np.random.default_rng([self.seed, index, 77])
        true = self.wearing(index, own)
        others = [random_garment(rng, own.category) for _ in range(RIVALS)]
        found = {"identity": ([true, *(self.wearing(index, g) for g in others)], ["own"] + ["other"] * RIVALS)}
        patterns = [p for p in PATTERNS if p != "print"]
        if own.pattern in patterns:
            names = [own.pattern, *(p for p in patterns if p != own.pattern)]
            found["pattern"] = ([true, *(self.wearing(index, own.with_pattern(p)) for p in names[1:])], names)
        if own.category != "lower":
            lengths = ("sleeveless", "short", "elbow", "long")
            if own.sleeve_length in lengths and own.kind in ALLOWED_SLEEVE_LENGTHS:
                names = [own.sleeve_length, *(n for n in lengths if n != own.sleeve_length)]
                found["sleeve"] = (
                    [true, *(self.wearing(index, replace(own, sleeve_length=n)) for n in names[1:])],
                    names,
                )
        return found


def open_detector():
    """A function that gives a batch of one the mask and pose which Detect Body (studio) and Agnostic Mask find in its
    picture, in place of the drawn ones.
    """
    find = detected_masks.open_detector(WEIGHTS)

    def detect(batch: pairs.Batch, categories: tuple[str, ...]) -> pairs.Batch:
        mask, pose = find(batch.person[0].numpy(), categories)
        return replace(batch, mask=torch.from_numpy(mask)[None], pose=torch.from_numpy(pose)[None])

    return detect


def nearest(made: torch.Tensor, candidates: list[torch.Tensor], mask: torch.Tensor) -> int:
    """Index of the candidate that is nearest in RGB inside the mask."""
    errors = [(((made - c) ** 2) * mask).sum().item() for c in candidates]
    return int(np.argmin(errors))


def swapped(sample: Sample) -> pairs.Batch:
    """The same figure with the garments of another seed: whose K,V must then win."""
    other = pairs.collate([pairs.draw(sample.seed + 400_000, sample.kind)])
    return replace(sample.batch, flats=other.flats, labels=other.labels)


def arms(sample: Sample, studio, guidance: float) -> dict[str, torch.Tensor]:
    """What each way of filling the mask makes of a sample, [3,H,W] in 0..1."""
    batch, mask = sample.batch, sample.batch.mask.float()
    person = batch.person.float() / 255
    mean = (person * mask).sum((2, 3), keepdim=True) / mask.sum()

    def finished(z):
        return one_step.paste(studio.decode(z), batch)[0]

    with torch.no_grad():
        return {
            "try-on": finished(studio.predict(batch, guidance=guidance, seed=sample.seed)),
            "K,V emptied": finished(studio.predict(batch, seed=sample.seed, garments="none")),
            "K,V of others": finished(
                studio.predict(batch, guidance=guidance, seed=sample.seed, garments=swapped(sample))
            ),
            "mean colour": one_step.paste(mean.expand_as(person), batch)[0],
            "round trip": finished(studio.encode(person)),
        }


def measure(
    studio: one_step.Studio, seeds: range, guidance: float, show=None, detect=None
) -> tuple[dict[str, list[float]], list]:
    """figure name -> one number a case (1 or 0 for recognitions); and (sample, result) of each figure."""
    values: dict[str, list[float]] = {}
    kept = []

    def note(name: str, value: float) -> None:
        values.setdefault(name, []).append(float(value))

    for number, seed in enumerate(seeds):
        sample = Sample(seed, KINDS[(0, 1, 0, 2, 0, 3)[number % 6]], detect)
        mask = sample.batch.mask[0].float()
        true = sample.batch.person[0].float() / 255
        made = arms(sample, studio, guidance)
        garments = "two" if len(sample.kind[1]) == 2 else "one"
        for index in sample.kind[1]:
            for test, (pictures, names) in sample.tests(index).items():
                for arm in ARMS:
                    hit = nearest(made[arm], pictures, mask) == 0
                    note(f"{test}/{arm}", hit)
                    if arm == "try-on":
                        note(f"{test}/{garments} garments", hit)
                    if test == "pattern" and arm in ("try-on", "round trip"):
                        note(f"pattern {names[0]}/{arm}", hit)
        _swaps(sample, made, mask, note)
        _closeness(made, true, mask, note, len(sample.kind[1]) == len(sample.kind[0]))
        if len(sample.kind[1]) == 2:
            _leaks(sample, made["try-on"], mask, note)
        kept.append((sample, {"try-on": made["try-on"]}))
        if show:
            show(number + 1)
    return values, kept


def _swaps(sample: Sample, made: dict, mask: torch.Tensor, note) -> None:
    """Control: with another outfit's K,V the other outfit is what the result shows."""
    other = sample._random_figure(sample.seed + 400_000, sample.kind[0])
    garments = tuple(other.garments[i] if i in sample.kind[1] else g for i, g in enumerate(sample.spec.garments))
    dressed = sample._render(replace(sample.spec, garments=garments), want=("person",)).person
    theirs = torch.from_numpy(dressed).permute(2, 0, 1).float() / 255
    own = sample.batch.person[0].float() / 255
    note("others win/K,V of others", nearest(made["K,V of others"], [theirs, own], mask) == 0)
    note("others win/try-on", nearest(made["try-on"], [theirs, own], mask) == 0)


def _leaks(sample: Sample, made: torch.Tensor, mask: torch.Tensor, note) -> None:
    """Nearer to the picture in which a garment wears the other one's colours and pattern than to the truth."""
    a, b = sample.spec.garments[:2]
    own = sample.batch.person[0].float() / 255
    for index, (garment, giver) in enumerate(((a, b), (b, a))):
        stained = replace(garment.with_pattern(giver.pattern), colours=giver.colours)
        note("leak/try-on", nearest(made, [sample.wearing(index, stained), own], mask) == 0)


def _closeness(made: dict, true: torch.Tensor, mask: torch.Tensor, note, whole: bool) -> None:
    """whole: every garment that the mask may hide is given. Where it is not, the hidden one can only be guessed."""
    inner = 1 - torch.nn.functional.max_pool2d(1 - mask[None], 5, 1, 2)[0]
    for arm in ARMS:
        picture = made[arm]
        given = "whole outfit" if whole else "one garment of two"
        for row in ("SSIM", f"SSIM, {given}"):
            note(f"{row}/{arm}", ssim(picture[None], true[None]))
        note(f"PSNR/{arm}", -10 * torch.log10(((picture - true) ** 2).mean() + 1e-12))
        for row in ("RMSE in mask", f"RMSE in mask, {given}"):
            note(f"{row}/{arm}", (((picture - true) ** 2 * mask).sum() / (3 * mask.sum())).sqrt())
        edges, there = (((laplacian(p[None]) ** 2) * inner[:, 1:-1, 1:-1]).sum() for p in (picture, true))
        note(f"Laplacian energy/{arm}", edges / there)
        note(f"pixels changed outside/{arm}", (((picture - true) * (1 - mask)) != 0).sum())


CHANCE = {"identity": 1 / (RIVALS + 1), "pattern": 0.2, "sleeve": 0.25}


def report(values: dict[str, list[float]]) -> tuple[str, dict[str, float]]:
    """A markdown table (rows: figures, columns: arms) and the flat figures with their standard errors."""
    flat, lines = {}, [f"| figure | {' | '.join(ARMS)} | chance | n |", "|---|" + "---|" * (len(ARMS) + 2)]
    rows = list(dict.fromkeys(name.split("/")[0] for name in values))
    for row in rows:
        cells, count = [], 0
        for arm in ARMS:
            data = values.get(f"{row}/{arm}")
            if not data:
                cells.append("")
                continue
            mean, count = float(np.mean(data)), len(data)
            error = float(np.std(data) / np.sqrt(len(data)))
            flat[f"{row}/{arm}"], flat[f"{row}/{arm}/standard error"] = mean, error
            cells.append(
                f"{mean:.3f} ± {error:.3f}" if row.split()[0] in (*CHANCE, "leak", "others") else f"{mean:.3f}"
            )
        chance = CHANCE.get(row.split()[0])
        lines.append(f"| {row} | {' | '.join(cells)} | {'' if chance is None else f'{chance:.2f}'} | {count} |")
    for test in CHANCE:
        for garments in ("one", "two"):
            data = values.get(f"{test}/{garments} garments")
            if data:
                flat[f"{test}/{garments} garments"] = float(np.mean(data))
                lines.append(
                    f"| {test}, {garments} garment{'s' * (garments == 'two')} at once | {np.mean(data):.3f} | | | | |"
                    f" {CHANCE[test]:.2f} | {len(data)} |"
                )
    return "\n".join(lines), flat


def run(args: list[str], json_path: str | None = None) -> int:
    parser = argparse.ArgumentParser(prog="dev.py bench tryon-quality")
    parser.add_argument("--seeds", default="0:300", help="A:B, figures that training never draws (below 400000)")
    parser.add_argument("--guidance", type=float, default=1.25, help="cfg against FastFit's zero latents")
    parser.add_argument(
        "--uniform", action="store_true", help="guide all latent channels alike, whatever the file's shares say"
    )
    parser.add_argument(
        "--mask", choices=("drawn", "detected"), default="drawn",
        help="drawn: the figure's own mask and pose; detected: those of Detect Body (studio) and Agnostic Mask",
    )  # fmt: skip
    parser.add_argument("--weights", default=str(WEIGHTS), help="folder of tryon and autoencoder.safetensors")
    parser.add_argument("--sheet", metavar="PNG", help="also write a sheet: person, garments, result, truth")
    parser.add_argument("--worst", metavar="JPG", help="also write the six results of largest error")
    options = parser.parse_args(args)
    first, last = (int(n) for n in options.seeds.split(":"))
    if last + 400_000 > HELD_OUT or first < 0 or first >= last:
        parser.error(f"seeds {options.seeds}: 0 <= A < B <= {HELD_OUT - 400_000} is held out from training")
    torch.set_num_threads(1)
    detect = open_detector() if options.mask == "detected" else None
    show = lambda n: print(f"\r{n}/{last - first}", end="", flush=True)  # noqa: E731
    studio = one_step.load_studio(Path(options.weights))
    if options.uniform:
        studio.shares = None
    values, kept = measure(studio, range(first, last), options.guidance, show, detect)
    table, flat = report(values)
    guided = f"guidance {options.guidance}{' of all channels alike' * options.uniform}"
    title = f"{last - first} figures, one step, {guided}, {options.mask} mask; ± one standard error"
    print(f"\rtry-on, {title}\n\n{table}")
    if options.sheet:
        _sheet(Path(options.sheet), [entry for entry in kept if len(entry[0].kind[1]) == 2][:8])
    if options.worst:
        write_worst(Path(options.worst), kept)
    write_figures(json_path, flat)
    return 0


def write_worst(path: Path, kept: list, count: int = 6) -> None:
    """The results with the largest error inside the mask, a column each: person, garments, result, truth."""
    from PIL import Image

    def error(entry) -> float:
        sample, made = entry
        mask, true = sample.batch.mask[0].float(), sample.batch.person[0].float() / 255
        return float(((made["try-on"] - true) ** 2 * mask).sum() / mask.sum())

    columns = []
    for sample, made in sorted(kept, key=error, reverse=True)[:count]:
        batch = sample.batch
        mask, person = batch.mask[0].float(), batch.person[0].float() / 255
        flats = (batch.flats[0].float() / 255).amin(0)  # flat-lays stand on white, each in its own place
        columns.append(
            torch.cat([person * (1 - mask) + mask * batch.pose[0].float() / 255, flats, made["try-on"], person], 1)
        )
    picture = (torch.cat(columns, 2).clamp(0, 1).permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    save_picture(path, Image.fromarray(picture), quality=85)


def _sheet(path: Path, kept: list) -> None:
    from ..train.sheet import write_sheet

    batches = [vars(sample.batch) for sample, _ in kept]
    known = [name for name, value in batches[0].items() if value is not None]  # a bench draws no layout to learn from
    joined = pairs.Batch(**{name: torch.cat([batch[name] for batch in batches]) for name in known})
    write_sheet(path, joined, [torch.stack([made["try-on"] for _, made in kept])])
