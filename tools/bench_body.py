"""`python dev.py bench body`: how well bodies are found on drawn figures, and what a try-on mask tells of the old
clothes.

--seeds A:B        held-out figures (default 0:200; training draws from 1,000,000 on)
--photos FOLDER    also run the photo backend on the pictures in a folder and count who is found
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch

PCK, LEAK_SIZE, RIDGE = 0.1, (96, 128), 30.0
GOAL_PCK, GOAL_MIOU = 0.97, 0.90
TORSO = ((1, 8), (1, 11))


def run(args: list[str], json_path: str | None = None) -> int:
    parser = argparse.ArgumentParser(prog="dev.py bench body", description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", default="0:200")
    parser.add_argument("--leak-figures", type=int, default=500, help="figures for the leak measure; 0 leaves it out")
    parser.add_argument("--photos", metavar="FOLDER")
    options = parser.parse_args(args)
    first, last = (int(n) for n in options.seeds.split(":"))
    figures: dict[str, float] = {}
    figures |= studio_accuracy(first, last - first)
    if options.leak_figures:
        figures |= mask_leak(first, options.leak_figures)
    if options.photos:
        figures |= photos_found(Path(options.photos))
    width = max(map(len, figures))
    for name, value in figures.items():
        print(f"{name:{width}}  {value:8.4f}")
    if json_path:
        Path(json_path).write_text(json.dumps(figures, indent=1))
    return 0


def studio_accuracy(first: int, count: int) -> dict[str, float]:
    """PCK@0.1 (share of joints within a tenth of the torso) and mIoU of both label maps on held-out figures.

    The control: the same network on pictures of other figures (rows rolled by one); it must fail.
    """
    from .torchvision_ops import make_importable

    make_importable()
    from ..models.body.studio_network import load_network, read_joints
    from ..training.body import draw_figures
    from ..training.run import WEIGHTS

    path = WEIGHTS / "body.safetensors"
    if not path.is_file():
        print("studio: no weights (models/studio/weights/body.safetensors); train them with `python dev.py train body`")
        return {}
    network, held_out = load_network(path), draw_figures(first, count)
    joints, parts, garments = [], [], []
    with torch.inference_mode():
        for start in range(0, count, 25):
            answer = network(held_out.picture[start : start + 25].float() / 255)
            joints.append(read_joints(answer.heat))
            parts.append(answer.parts.argmax(1).byte())
            garments.append(answer.garments.argmax(1).byte())
    found, parts, garments = np.concatenate(joints), torch.cat(parts), torch.cat(garments)
    return {
        f"studio PCK@0.1 (goal {GOAL_PCK})": pck(found, held_out.joints.numpy()),
        "studio PCK@0.1, control: another figure's picture": pck(np.roll(found, 1, 0), held_out.joints.numpy()),
        f"studio part mIoU (goal {GOAL_MIOU})": mean_iou(parts, held_out.parts, 18),
        "studio part mIoU, control": mean_iou(parts.roll(1, 0), held_out.parts, 18),
        "studio garment mIoU": mean_iou(garments, held_out.garments, 18),
    }


def pck(found: np.ndarray, truth: np.ndarray) -> float:
    """Share of the joints that are there which were found within a tenth of the torso."""
    torso = np.mean([np.linalg.norm(truth[:, a, :2] - truth[:, b, :2], axis=1) for a, b in TORSO], axis=0)
    distance = np.linalg.norm(found[..., :2] - truth[..., :2], axis=2)
    right = (distance <= PCK * torso[:, None]) & (found[..., 2] > 0)
    return float(right[truth[..., 2] > 0].mean())


def mean_iou(found: torch.Tensor, truth: torch.Tensor, classes: int) -> float:
    """Mean over the classes that occur of intersection over union, pixels of all figures together."""
    pairs = (
        torch.bincount(found.flatten().long() * classes + truth.flatten().long(), minlength=classes**2)
        .view(classes, classes)
        .double()
    )
    both, union = pairs.diagonal(), pairs.sum(0) + pairs.sum(1) - pairs.diagonal()
    return float((both / union)[union > 0].mean())


def mask_leak(first: int, count: int) -> dict[str, float]:
    """How well the old garment's sleeve and length are guessed from joints and mask alone, ours and the published one.

    The guesser reads the mask along arms and legs (in limb coordinates) and is a ridge classifier, trained on three
    quarters of the figures. Joints alone and the commonest answer are the floor.
    """
    from ..craft.agnostic_batch import published_from_maps
    from ..craft.agnostic_mask import agnostic_mask
    from ..craft.body_parts import Body
    from ..croquis import random_figure, render

    rows: dict[str, list] = {"joints alone": [], "from the body": [], "published": []}
    answers: dict[str, list] = {"sleeve": [], "length": []}
    for seed in range(first, first + count):
        spec = random_figure(seed, ("upper", "lower"))
        figure = render(spec, *LEAK_SIZE, ("parts",))
        joints = figure.keypoints
        ours = agnostic_mask(Body(joints, *LEAK_SIZE, figure.parts, figure.atr), ("upper", "lower"))
        published = published_from_maps(figure.parts, figure.atr, ("overall",))
        body = (joints[:, :2] - joints[1, :2]).ravel() / np.linalg.norm(joints[8, :2] - joints[1, :2])
        for name, mask in (("joints alone", None), ("from the body", ours), ("published", published)):
            rows[name].append(np.concatenate([body, [] if mask is None else along_limbs(mask, joints)]))
        answers["sleeve"].append(spec.garments[0].sleeve_length)
        answers["length"].append(spec.garments[1].length)
    result = {}
    for what, given in answers.items():
        names, truth = np.unique(given, return_inverse=True)
        split = count * 3 // 4
        result[f"old {what} guessed: commonest answer"] = float(
            np.bincount(truth[split:], minlength=len(names)).max() / (count - split)
        )
        for name, features in rows.items():
            result[f"old {what} guessed from: {name}"] = guessed(np.array(features), truth, split)
    return result


def along_limbs(mask: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """The mask read at places along and beside both arms and legs."""
    torso = np.linalg.norm(joints[8, :2] - joints[1, :2])
    values = []
    for chain in ((2, 3, 4), (5, 6, 7), (8, 9, 10), (11, 12, 13)):
        for a, b in zip(chain, chain[1:]):
            way = joints[b, :2] - joints[a, :2]
            across = np.array([-way[1], way[0]]) / max(np.linalg.norm(way), 1e-6)
            for along in np.linspace(0, 1.1, 12):
                for beside in np.linspace(-0.45, 0.45, 13):
                    x, y = np.rint(joints[a, :2] + along * way + beside * torso * across).astype(int)
                    inside = 0 <= x < mask.shape[1] and 0 <= y < mask.shape[0]
                    values.append(float(inside and mask[y, x]))
    return np.array(values)


def guessed(features: np.ndarray, truth: np.ndarray, split: int) -> float:
    """Accuracy on the rows from `split` on of a one-against-all ridge classifier of the rows before."""
    features = (features - features[:split].mean(0)) / (features[:split].std(0) + 1e-3)
    features = np.concatenate([features, np.ones((len(features), 1))], 1)
    targets = np.eye(truth.max() + 1)[truth[:split]] * 2 - 1
    x = features[:split]
    weights = x.T @ np.linalg.solve(x @ x.T + RIDGE * np.eye(split), targets)
    return float((np.argmax(features[split:] @ weights, 1) == truth[split:]).mean())


def photos_found(folder: Path) -> dict[str, float]:
    from PIL import Image

    from ..host.body_backends import open_backend, photo_problem

    problem = photo_problem()
    if problem:
        print(f"photos: {problem}")
        return {}
    backend = open_backend("photo")
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg", ".png", ".webp"))
    found = [backend(np.asarray(Image.open(p).convert("RGB"))) for p in files]
    joints = [float((f.people[0, :, 2] > 0).mean()) for f in found if len(f.people)]
    return {
        "photos: pictures": float(len(files)),
        "photos: somebody found (share)": float(np.mean([len(f.people) > 0 for f in found])),
        "photos: joints seen (share)": float(np.mean(joints)) if joints else 0.0,
    }
