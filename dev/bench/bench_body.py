"""`python dev.py bench body`: how well bodies are found on drawn figures, and what a try-on mask tells of the old
clothes.

--seeds A:B        held-out figures (default 0:200; training draws from 1,000,000 on)
--photos FOLDER    also run the photo backend on the pictures in a folder and count who is found
--movenet FILE     compare their joints with a second network's: movenet-thunder.json (see dev/bench/movenet.py)
--sheet FILE       only draw what the photo backend and the mask nodes make of a photograph (scikit-image's astronaut,
                   and those of --photos)
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

import numpy as np
import torch

from ..figures import write_figures

PCK, LEAK_SIZE, RIDGE, FOLDS = 0.1, (96, 128), 30.0, 5
GOAL_PCK, GOAL_MIOU = 0.97, 0.90
TORSO = ((1, 8), (1, 11))


def run(args: list[str], json_path: str | None = None) -> int:
    parser = argparse.ArgumentParser(prog="dev.py bench body", description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", default="0:200")
    parser.add_argument("--leak-figures", type=int, default=500, help="figures for the leak measure; 0 leaves it out")
    parser.add_argument("--photos", metavar="FOLDER")
    parser.add_argument("--movenet", metavar="FILE", help="with --photos: MoveNet's graph file, for a second opinion")
    parser.add_argument("--sheet", metavar="FILE")
    options = parser.parse_args(args)
    if options.sheet:
        return photo_sheet(options.photos, Path(options.sheet))
    first, last = (int(n) for n in options.seeds.split(":"))
    figures: dict[str, float] = {}
    figures |= studio_accuracy(first, last - first)
    if options.leak_figures:
        figures |= mask_leak(first, options.leak_figures)
    if options.photos:
        figures |= photos_found(Path(options.photos), options.movenet)
    width = max(map(len, figures))
    for name, value in figures.items():
        print(f"{name:{width}}  {value:8.4f}")
    write_figures(json_path, figures)
    return 0


def studio_accuracy(first: int, count: int) -> dict[str, float]:
    """PCK@0.1 (share of joints within a tenth of the torso) and mIoU of both label maps on held-out figures.

    The control: the same network on pictures of other figures (rows rolled by one); it must fail.
    """
    from ..setup.torchvision_ops import make_importable

    make_importable()
    from ...craft.body.labels import ATR, PARTS, mirrored
    from ...models.studio.body_network import load_network, look, read_joints
    from ..train.body.body import draw_figures
    from ..train.run import WEIGHTS

    path = WEIGHTS / "body.safetensors"
    if not path.is_file():
        print("studio: no weights (models/studio/weights/body.safetensors); train them with `python dev.py train body`")
        return {}
    network, held_out = load_network(path), draw_figures(first, count)
    joints, parts, garments = [], [], []
    with torch.inference_mode():
        for start in range(0, count, 25):
            answer = look(network, held_out.picture[start : start + 25].float() / 255, (mirrored(PARTS), mirrored(ATR)))
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

    The guesser reads the mask along arms and legs (in limb coordinates) and on a grid below the hips, and is a ridge
    classifier; each fifth of the figures is guessed by one trained on the others. Skirts, whose hems stand away from
    the legs, are guessed by themselves too. Joints alone and the commonest answer are the floor.
    """
    from ...craft.body.agnostic_batch import published_from_maps
    from ...craft.body.agnostic_mask import agnostic_mask
    from ...craft.body.body_parts import Body
    from ...croquis import random_figure, render

    rows: dict[str, list] = {"joints alone": [], "from the body": [], "published": []}
    sleeves, lengths, kinds = [], [], []
    for seed in range(first, first + count):
        spec = random_figure(seed, ("upper", "lower"))
        figure = render(spec, *LEAK_SIZE, ("parts",))
        joints = figure.keypoints
        ours = agnostic_mask(Body(joints, *LEAK_SIZE, figure.parts, figure.atr), ("upper", "lower"))
        published = published_from_maps(figure.parts, figure.atr, ("overall",))
        body = (joints[:, :2] - joints[1, :2]).ravel() / np.linalg.norm(joints[8, :2] - joints[1, :2])
        for name, mask in (("joints alone", None), ("from the body", ours), ("published", published)):
            read = [] if mask is None else np.concatenate([along_limbs(mask, joints), below_hips(mask, joints)])
            rows[name].append(np.concatenate([body, read]))
        sleeves.append(spec.garments[0].sleeve_length)
        lengths.append(spec.garments[1].length)
        kinds.append(spec.garments[1].kind)
    result = {}
    skirts = np.flatnonzero(np.array(kinds) == "skirt")
    for what, given, chosen in (
        ("sleeve", sleeves, np.arange(count)), ("length", lengths, np.arange(count)), ("skirt length", lengths, skirts),
    ):  # fmt: skip
        _, truth = np.unique(np.array(given)[chosen], return_inverse=True)
        result[f"old {what} guessed: commonest answer"] = float(np.bincount(truth).max() / len(truth))
        for name, features in rows.items():
            result[f"old {what} guessed from: {name}"] = guessed(np.array(features)[chosen], truth)
    return result


def along_limbs(mask: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """The mask read at places along and beside both arms and legs."""
    torso = np.linalg.norm(joints[8, :2] - joints[1, :2])
    values = []
    for chain in ((2, 3, 4), (5, 6, 7), (8, 9, 10), (11, 12, 13)):
        for a, b in itertools.pairwise(chain):
            way = joints[b, :2] - joints[a, :2]
            across = np.array([-way[1], way[0]]) / max(np.linalg.norm(way), 1e-6)
            for along in np.linspace(0, 1.1, 12):
                for beside in np.linspace(-0.45, 0.45, 13):
                    x, y = np.rint(joints[a, :2] + along * way + beside * torso * across).astype(int)
                    inside = 0 <= x < mask.shape[1] and 0 <= y < mask.shape[0]
                    values.append(float(inside and mask[y, x]))
    return np.array(values)


def below_hips(mask: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """The mask read on a grid from the hips to the feet, in torso lengths."""
    torso, hips = np.linalg.norm(joints[8, :2] - joints[1, :2]), (joints[8, :2] + joints[11, :2]) / 2
    x, y = np.meshgrid(np.linspace(-1.5, 1.5, 25), np.linspace(-0.3, 2.2, 26))
    x, y = (np.rint(hips[k] + v * torso).astype(int) for k, v in enumerate((x, y)))
    inside = (x >= 0) & (x < mask.shape[1]) & (y >= 0) & (y < mask.shape[0])
    return (inside & mask[y.clip(0, mask.shape[0] - 1), x.clip(0, mask.shape[1] - 1)]).ravel().astype(float)


def guessed(features: np.ndarray, truth: np.ndarray) -> float:
    """Accuracy of a one-against-all ridge classifier, each fold guessed from the others."""
    fold, right = np.arange(len(truth)) % FOLDS, 0
    for number in range(FOLDS):
        train = fold != number
        values = (features - features[train].mean(0)) / (features[train].std(0) + 1e-3)
        values = np.concatenate([values, np.ones((len(values), 1))], 1)
        x, targets = values[train], np.eye(truth.max() + 1)[truth[train]] * 2 - 1
        weights = x.T @ np.linalg.solve(x @ x.T + RIDGE * np.eye(len(x)), targets)
        right += int((np.argmax(values[~train] @ weights, 1) == truth[~train]).sum())
    return right / len(truth)


def photos_found(folder: Path, movenet: str | None = None) -> dict[str, float]:
    """How many are found in the pictures of a folder, and how well the joints agree with those of the mirrored picture
    and, where its file is given, with MoveNet's. The control takes the joints of the next picture.
    """
    backend = open_photo_backend()
    if backend is None:
        return {}
    pictures = photographs(folder)
    if not pictures:
        raise ValueError(f"There is no picture in {folder}; give a folder with .jpg, .png or .webp files.")
    found = [backend(picture).people for picture in pictures]
    seen = [float((people[0, :, 2] > 0).mean()) for people in found if len(people)]
    figures = {
        "photos: pictures": float(len(pictures)),
        "photos: somebody found (share)": float(np.mean([len(people) > 0 for people in found])),
        "photos: joints seen (share)": float(np.mean(seen)) if seen else 0.0,
    }
    figures |= agreement("the mirrored picture", found, [mirrored_joints(backend, picture) for picture in pictures])
    if movenet:
        from .movenet import MoveNet

        second = MoveNet(Path(movenet))
        figures |= agreement("MoveNet", found, [second(picture)[None] for picture in pictures])
    return figures


def mirrored_joints(backend, picture: np.ndarray) -> np.ndarray:
    """People [P,18,3] found in the mirrored picture, in the picture's own coordinates."""
    from ...craft.body.keypoints import MIRRORED

    people = backend(np.ascontiguousarray(picture[:, ::-1])).people[:, list(MIRRORED)]
    people[..., 0] = np.where(people[..., 2] > 0, picture.shape[1] - people[..., 0], 0)
    return people


def agreement(name: str, found: list[np.ndarray], others: list[np.ndarray]) -> dict[str, float]:
    """Distances of the joints that both see, for the first person of each picture."""
    from ...craft.body.keypoints import torso_length

    pixels, torsos, control = [], [], []
    for index, people in enumerate(found):
        for step in range(min(2, len(found))):
            other = others[(index + step) % len(found)]
            if not len(people) or not len(other):
                continue
            both = (people[0, :, 2] > 0) & (other[0, :, 2] > 0)
            away = np.linalg.norm(people[0, both, :2] - other[0, both, :2], axis=1)
            (control if step else torsos).extend(away / torso_length(people[0]))
            pixels.extend(() if step else away)
    if not pixels:
        return {}
    figures = {
        f"photos: median distance to {name}, pixels": float(np.median(pixels)),
        f"photos: 90 % are nearer to {name} than, pixels": float(np.percentile(pixels, 90)),
        f"photos: PCK@{PCK} against {name}": float(np.mean(np.array(torsos) <= PCK)),
    }
    if control:
        share = float(np.mean(np.array(control) <= PCK))
        figures[f"photos: PCK@{PCK} against {name}, control: the next picture"] = share
    return figures


def open_photo_backend():
    from ...host.body.body_backends import open_backend, photo_problem

    problem = photo_problem()
    if problem:
        print(f"photos: {problem}")
        return None
    return open_backend("photo")


def photographs(folder: Path) -> list[np.ndarray]:
    """The pictures in a folder and those below it, uint8 [H,W,3], by name."""
    from PIL import Image

    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg", ".png", ".webp"))
    return [np.asarray(Image.open(path).convert("RGB")) for path in files]


def photo_sheet(folder: str | None, path: Path) -> int:
    from .body_sheet import astronaut, write_sheet

    backend = open_photo_backend()
    if backend is None:
        return 1
    write_sheet([astronaut(), *(photographs(Path(folder)) if folder else [])], backend, path)
    print(path)
    return 0
