"""`python dev.py bench photos`: how well photographs are parsed, class by class.

--data FOLDER      Clothing Co-Parsing, in either layout (see dev/train/body/street_photos.py)
--split NAME       test (default) or validation; nothing is ever tuned on test
--weights FILE     another parser than the shipped one
--no-mirror        look once, not also at the mirror image
--no-rules         leave the rules of the photo backend out (a quarter of a second for each photograph)

Controls: the labels of the next photograph (must fail), and the pack's rules for photographs without a parser.
The last line says which bars are missed; the exit status is 1 then.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from ..figures import write_figures

RULES = {
    "hat": "hat", "hair": "hair", "sunglasses": "glasses", "upper-clothes": "top", "skirt": "skirt",
    "pants": "trousers", "dress": "dress", "belt": "belt", "left-shoe": "shoes", "right-shoe": "shoes",
    "face": "skin", "left-leg": "skin", "right-leg": "skin", "left-arm": "skin", "right-arm": "skin", "bag": "bag",
    "scarf": "scarf",
}  # fmt: skip


def run(args: list[str], json_path: str | None = None) -> int:
    from ..setup.torchvision_ops import make_importable

    make_importable()
    from ..train.body.photo_measures import BARS, shortfalls
    from ..train.body.photo_parser_run import FILE
    from ..train.body.street_photos import cached, open_folder
    from ..train.run import RUNS, WEIGHTS
    from .photo_joints import open_joints

    parser = argparse.ArgumentParser(prog="dev.py bench photos", description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--split", choices=("test", "validation"), default="test")
    parser.add_argument("--weights", default=str(WEIGHTS / FILE))
    parser.add_argument("--no-mirror", action="store_true")
    parser.add_argument("--no-rules", action="store_true")
    options = parser.parse_args(args)
    photos = cached(open_folder(Path(options.data)), options.split, RUNS / "photos", open_joints)
    columns = parser_columns(photos, Path(options.weights), not options.no_mirror)
    if not options.no_rules:
        columns["rules"] = rules_column(photos)
    print(f"IoU on the {len(photos)} photographs of {options.split}, all pixels together")
    print(f"{'':10}" + "".join(f"{name:>17}" for name in columns) + f"{'bar':>8}")
    for name in columns["parser"]:
        bar = f"{BARS[name]:8.2f}" if name in BARS else ""
        print(f"{name:10}" + "".join(f"{column[name]:17.3f}" for column in columns.values()) + bar)
    write_figures(json_path, columns)
    short = shortfalls(columns["parser"])
    print(f"Short of the bar: {', '.join(short)}" if short else "Every bar is reached.")
    return 1 if short else 0


def parser_columns(photos, weights: Path, mirror: bool) -> dict[str, dict[str, float]]:
    """`overlaps` of the parser, and of the labels that it finds in the next photograph."""
    import torch

    from ...models.studio.photo_parser import load_network, parse_photo
    from ..train.body.photo_measures import overlaps, tally

    if not weights.is_file():
        raise ValueError(f"There is no {weights}; train it with `python dev.py train parser --data FOLDER`.")
    network = load_network(weights)
    with torch.inference_mode():
        found = [parse_photo(network, picture, joints, mirror=mirror) for picture, joints, _ in each(photos)]
    truths = [truth for _, _, truth in each(photos)]
    own = sum(tally(labels, truth) for labels, truth in zip(found, truths))
    moved = sum(tally(resized(labels, truth.shape), truth) for labels, truth in zip(found[1:] + found[:1], truths))
    return {"parser": overlaps(own), "next photograph": overlaps(moved)}


def rules_column(photos) -> dict[str, float]:
    """`overlaps` of the photo backend's rules; a photograph in which nobody is found is all background."""
    from ...craft.body.labels import ATR
    from ...host.body.body_backends import photo_backend
    from ...models.studio.photo_parser import CLASSES
    from ..train.body.photo_measures import overlaps, tally

    table, backend, counts = np.zeros(len(ATR), np.uint8), photo_backend(), 0
    for name, meaning in RULES.items():
        table[ATR.index(name)] = CLASSES.index(meaning)
    for picture, _, truth in each(photos):
        garments = backend(np.ascontiguousarray(picture)).garments
        counts = counts + tally(np.zeros_like(truth) if garments is None else table[garments], truth)
    return overlaps(counts)


def each(photos):
    """(picture [H,W,3], joints, labels [H,W]) of each photograph, without the border."""
    for row in range(len(photos)):
        width, height = (int(n) for n in photos.sizes[row])
        yield photos.pictures[row, :height, :width], photos.joints[row], photos.labels[row, :height, :width]


def resized(labels: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    from PIL import Image

    return np.asarray(Image.fromarray(labels).resize(shape[::-1], Image.Resampling.NEAREST))
