"""`python dev.py bench wardrobe`: the studio wardrobe network on 2000 held-out drawn garments, each figure with
controls.

`--garments N` (an even number) for a smaller wardrobe, `--weights FILE` for another file. The garments are drawn once
and kept in output/training/wardrobe. Time and memory of the search by size: `python dev.py bench search`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ..figures import write_figures

FIRST_SEED = 300_000  # held out: training starts at 6_000_000
BARS = {("words -> picture", "R@1"): 0.70, ("picture + change", "R@10"): 0.85, ("captions", "attribute F1"): 0.90}


def run(args: list[str], json_path: str | None = None) -> int:
    """Prints the table; returns 1 when a bar is missed."""
    import torch

    parser = argparse.ArgumentParser(
        prog="dev.py bench wardrobe", description="Retrieval and captions of the studio network."
    )
    parser.add_argument("--garments", type=int, default=2000)
    parser.add_argument("--weights", default="")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(args)
    if options.garments < 20 or options.garments % 2:
        parser.error(f"--garments is {options.garments}; it must be an even number from 20 on.")
    torch.set_num_threads(options.threads)
    from ..setup.torchvision_ops import make_importable

    make_importable()
    from ...models.studio.wardrobe.wardrobe_network import load_network
    from ..train.run import RUNS, WEIGHTS
    from ..train.wardrobe.wardrobe_pool import CALIBRATION_SEEDS, pool_of_garments
    from . import wardrobe_measures as measures

    network = load_network(Path(options.weights or WEIGHTS / "wardrobe.safetensors"))
    folder = RUNS / "wardrobe"
    weight = measures.best_weight(
        network, measures.see(network, pool_of_garments(150, folder, CALIBRATION_SEEDS, view="flat"))
    )
    pool = pool_of_garments(options.garments // 2, folder, FIRST_SEED, view="flat")
    print(f"\rstudio wardrobe network, {options.garments} held-out flat-lays, late fusion at weight {weight}")
    figures, code = {"garments": options.garments, "late_fusion_weight": weight}, 0
    for part, values in measures.all_of(network, pool, weight).items():
        print(part)
        for name, value in values.items():
            bar = BARS.get((part, name))
            missed = bar is not None and value < bar
            code |= missed
            print(
                f"  {name:<32} {value:>8.3f}"
                + ("" if bar is None else f"   bar {bar:.2f} {'MISSED' if missed else 'ok'}")
            )
            figures[f"{part}, {name}"] = value
    write_figures(json_path, figures)
    return int(code)
