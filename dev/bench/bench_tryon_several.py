"""`python dev.py bench tryon-several --seeds A:B`: two to four garments put on at once, shoes and bags among them.

The shipped weights in one step, as in `bench tryon-quality`, on held-out figures. Asked of every result: is each
garment the one that was given (nearest of ten rendered candidates), and does one show another's colours and pattern.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import numpy as np
import torch

from ..figures import write_figures
from ..train.tryon import one_step
from .bench_tryon_quality import HELD_OUT, RIVALS, WEIGHTS, Sample, nearest, swapped, write_worst

OUTFITS = (
    ("upper", "lower", "shoe", "bag"),
    ("upper", "lower", "shoe"),
    ("overall", "bag"),
    ("upper", "lower", "bag"),
    ("overall", "shoe", "bag"),
    ("upper", "lower"),
)
ARMS = ("try-on", "garments shuffled", "round trip")


def wilson(hits: float, count: int) -> tuple[float, float]:
    """95 % interval of a share, which stays honest at 0 and at 1 (Wilson 1927)."""
    z, share = 1.96, hits / count
    middle, half = share + z * z / (2 * count), z * (share * (1 - share) / count + z * z / (4 * count**2)) ** 0.5
    return (middle - half) / (1 + z * z / count), (middle + half) / (1 + z * z / count)


def arms(sample: Sample, studio, guidance: float) -> dict[str, torch.Tensor]:
    """[3,H,W] in 0..1, by what fills the mask: the try-on, the try-on with another figure's garments, the truth."""
    batch = sample.batch

    def dressed(garments) -> torch.Tensor:
        z = studio.predict(batch, guidance=guidance, seed=sample.seed, garments=garments)
        return one_step.paste(studio.decode(z), batch)[0]

    with torch.no_grad():
        back = one_step.paste(studio.decode(studio.encode(batch.person.float() / 255)), batch)[0]
        return {"try-on": dressed("own"), "garments shuffled": dressed(swapped(sample)), "round trip": back}


def rivals(sample: Sample, index: int) -> list[torch.Tensor]:
    """The figure as it is, then with nine other garments of the category in that one's place."""
    from ...croquis.garment import random_garment

    rng = np.random.default_rng([sample.seed, index, 78])
    own = sample.spec.garments[index]
    return [sample.wearing(index, g) for g in (own, *(random_garment(rng, own.category) for _ in range(RIVALS)))]


def stained(sample: Sample) -> dict[tuple[str, str], torch.Tensor]:
    """(garment, giver) -> the figure on which that garment has the giver's colours and pattern."""
    worn = sample.spec.garments
    found = {}
    for index, other in permutations(range(len(worn)), 2):
        garment = replace(worn[index].with_pattern(worn[other].pattern), colours=worn[other].colours)
        found[worn[index].category, worn[other].category] = sample.wearing(index, garment)
    return found


def without(sample: Sample, index: int) -> torch.Tensor:
    """The figure with everything but that garment: what a result shows from which a bag is missing."""
    from ...croquis import render

    worn = tuple(garment for i, garment in enumerate(sample.spec.garments) if i != index)
    person = render(replace(sample.spec, garments=worn), want=("person",)).person
    return torch.from_numpy(person).permute(2, 0, 1).float() / 255


def leaks(made: torch.Tensor, sample: Sample, mask: torch.Tensor) -> tuple[dict[tuple[str, str], bool], set[str]]:
    """(garment, giver) -> the garment shows the giver's colours and pattern; and which shoes and bags are missing.

    What is missing shows nobody's colours: there the picture without it is nearest.
    """
    worn = [garment.category for garment in sample.spec.garments]
    true = sample.batch.person[0].float() / 255
    absent = {category: without(sample, i) for i, category in enumerate(worn) if category in ("shoe", "bag")}
    seen, missing = {}, set()
    for (taker, giver), stain in stained(sample).items():
        best = nearest(made, [true, stain, *([absent[taker]] if taker in absent else [])], mask)
        seen[taker, giver] = best == 1
        if best == 2:
            missing.add(taker)
    return seen, missing


def measure(seeds: range, guidance: float, weights: Path = WEIGHTS, show=None) -> tuple[dict[str, list[float]], list]:
    """figure name -> one number a case; and (error inside the mask, sample, result) of every figure."""
    studio = one_step.load_studio(weights)
    values: dict[str, list[float]] = {}
    kept = []

    def note(name: str, value: float) -> None:
        values.setdefault(name, []).append(float(value))

    for number, seed in enumerate(seeds):
        worn = OUTFITS[number % len(OUTFITS)]
        sample = Sample(seed, (worn, tuple(range(len(worn)))))
        mask = sample.batch.mask[0].float()
        made = arms(sample, studio, guidance)
        for index, category in enumerate(worn):
            candidates = rivals(sample, index)
            for arm in ARMS:
                hit = nearest(made[arm], candidates, mask) == 0
                for group in (f"identity of the {category}", f"identity, {len(worn)} garments"):
                    note(f"{group}/{arm}", hit)
        for arm in ("try-on", "round trip"):
            seen, missing = leaks(made[arm], sample, mask)
            note(f"results with a leak/{arm}", any(seen.values()))
            for category in {"shoe", "bag"} & set(worn):
                note(f"{category} missing/{arm}", category in missing)
            if arm == "try-on":
                for (taker, giver), leak in seen.items():
                    note(f"leak, {giver} on {taker}/{arm}", leak)
        kept.append((sample, {"try-on": made["try-on"]}))
        if show:
            show(number + 1)
    return values, kept


def report(values: dict[str, list[float]]) -> tuple[str, dict[str, float]]:
    """A markdown table (share, 95 % interval) and the flat figures."""
    flat, lines = {}, [f"| figure | {' | '.join(ARMS)} | chance | n |", "|---|" + "---|" * (len(ARMS) + 2)]
    for row in sorted({name.split("/")[0] for name in values}):
        cells, count = [], 0
        for arm in ARMS:
            data = values.get(f"{row}/{arm}")
            if not data:
                cells.append("")
                continue
            count = len(data)
            low, high = wilson(sum(data), count)
            flat[f"{row}/{arm}"], flat[f"{row}/{arm}/low"], flat[f"{row}/{arm}/high"] = sum(data) / count, low, high
            cells.append(f"{sum(data) / count:.3f} ({low:.2f}-{high:.2f})")
        chance = f"{1 / (RIVALS + 1):.2f}" if row.startswith("identity") else ""
        lines.append(f"| {row} | {' | '.join(cells)} | {chance} | {count} |")
    return "\n".join(lines), flat


def run(args: list[str], json_path: str | None = None) -> int:
    parser = argparse.ArgumentParser(prog="dev.py bench tryon-several")
    parser.add_argument("--seeds", default="0:300", help="A:B, figures that training never draws (below 400000)")
    parser.add_argument("--guidance", type=float, default=1.25, help="cfg against FastFit's zero latents")
    parser.add_argument("--weights", default=str(WEIGHTS), help="folder of tryon and autoencoder.safetensors")
    parser.add_argument("--worst", metavar="JPG", help="also write the six results of largest error")
    options = parser.parse_args(args)
    first, last = (int(n) for n in options.seeds.split(":"))
    if last + 400_000 > HELD_OUT or first < 0 or first >= last:
        parser.error(f"seeds {options.seeds}: 0 <= A < B <= {HELD_OUT - 400_000} is held out from training")
    torch.set_num_threads(1)
    show = lambda n: print(f"\r{n}/{last - first}", end="", flush=True)  # noqa: E731
    values, kept = measure(range(first, last), options.guidance, Path(options.weights), show)
    table, flat = report(values)
    print(f"\r{last - first} figures, one step, guidance {options.guidance}; share (95 % interval)\n\n{table}")
    if options.worst:
        write_worst(Path(options.worst), kept)
    write_figures(json_path, flat)
    return 0
