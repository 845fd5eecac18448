"""The command `python dev.py train parser`: sessions of the photo parser's recipe."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

import lightning
import numpy as np
import torch

from ....models.studio.photo_parser import ParserConfig, PhotoParser, decide, picture_odds, save_network, together
from ..run import RUNS, WEIGHTS, trainer
from .photo_parser import Evaluation, PhotoParserTraining, Recipe, TimeLimit, class_weights, load_imagenet
from .photo_views import Views
from .street_photos import OUTSIDE, Photos, cached, open_folder

NAME, FILE = "photo-parser", "photo_parser.safetensors"
SURE = 0.6  # probability below which a guessed label teaches nothing


def arguments(args: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="dev.py train parser", description="Train the parser for photographs.")
    parser.add_argument("--data", help="folder of Clothing Co-Parsing, in either layout")
    parser.add_argument("--steps", type=int, default=8000, help="length of the stable phase, all sessions together")
    parser.add_argument("--minutes", type=float, help="end this session after so many minutes")
    parser.add_argument("--height", type=int, default=512, help="long side of a full view: 384 to begin with, 512")
    parser.add_argument(
        "--decay", type=int, default=0, help="fork from the stable phase, decay over so many steps, write the weights"
    )
    parser.add_argument("--guess", action="store_true", help="only label the unlabelled photographs with what was"
                        " learnt so far; later sessions use those labels")  # fmt: skip
    parser.add_argument("--no-guessed", action="store_true", help="do not learn from guessed labels")
    parser.add_argument("--export", action="store_true", help="only write the averaged weights of the last checkpoint")
    parser.add_argument("--from-scratch", action="store_true", help="begin without the trunk's ImageNet weights")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--save-every", type=int, default=200)
    parser.add_argument("--evaluate-every", type=int, default=500)
    return parser.parse_args(args)


def train_parser(args: list[str]) -> int:
    options = arguments(args)
    try:
        return run_session(options)
    except ValueError as problem:
        print(problem, file=sys.stderr)
        return 2


def run_session(options: argparse.Namespace) -> int:
    """One session; raises ValueError where the data, the trunk's weights or an earlier run are missing."""
    from ...bench.photo_joints import open_joints

    data_folder = RUNS / "photos"
    lightning.seed_everything(13, verbose=False)
    stable, forked = (RUNS / name / "last.ckpt" for name in (NAME, f"{NAME}-decay"))
    if options.export:
        return export(forked if forked.exists() else stable)
    if options.data is None:
        raise ValueError("--data is missing; give the folder of Clothing Co-Parsing, in either layout.")
    data = open_folder(Path(options.data))
    if options.guess:
        torch.set_num_threads(options.threads)
        return guess(
            averaged(stable), cached(data, "unlabelled", data_folder, open_joints), data_folder, options.height
        )
    photos = {split: cached(data, split, data_folder, open_joints) for split in ("train", "validation")}
    guessed = None if options.no_guessed else guessed_photos(data_folder)
    network = PhotoParser(ParserConfig())
    if not options.from_scratch and not stable.exists():
        load_imagenet(network)
    recipe = Recipe(frozen=0 if options.from_scratch else Recipe.frozen)
    module = PhotoParserTraining(network, class_weights(photos["train"], recipe), recipe)
    name, start, steps, position = session(options, module, stable, forked)
    loop = trainer(name, steps, options.save_every, options.threads)
    if options.minutes is not None:
        loop.callbacks.append(TimeLimit(options.minutes))
    loop.callbacks.append(Evaluation(photos["validation"], RUNS / name, options.evaluate_every, options.height))
    views = Views(photos["train"], recipe.batch, options.height, position, guessed)
    loader = torch.utils.data.DataLoader(views, batch_size=None)
    loop.fit(module, loader, ckpt_path=start, weights_only=True)
    loop.save_checkpoint(RUNS / name / "last.ckpt")
    if options.decay and loop.global_step >= steps:
        return export(RUNS / name / "last.ckpt")
    return 0


def session(options, module: PhotoParserTraining, stable: Path, forked: Path) -> tuple[str, Path | None, int, int]:
    """(name of the run, checkpoint to go on from, last step, steps done so far); sets the module's decay."""
    start = stable if stable.exists() else None
    if not options.decay:
        return NAME, start, options.steps, steps_of(start)
    if start is None:
        raise ValueError("There is no stable phase to decay from; run `dev.py train parser --data FOLDER` first.")
    first = steps_of(stable)
    if forked.exists() and forked.stat().st_mtime > stable.stat().st_mtime:
        start = forked
    module.decay = first, options.decay
    return f"{NAME}-decay", start, first + options.decay, steps_of(start)


def steps_of(checkpoint: Path | None) -> int:
    if checkpoint is None:
        return 0
    return int(torch.load(checkpoint, map_location="cpu", weights_only=True)["global_step"])


def averaged(checkpoint: Path) -> PhotoParser:
    """The averaged network of a checkpoint, ready to use. Raises ValueError where there is none."""
    if not checkpoint.exists():
        raise ValueError("There is no run to take weights from; run `dev.py train parser --data FOLDER` first.")
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)["state_dict"]
    network, prefix = PhotoParser(ParserConfig()), "average.module."
    network.load_state_dict({k[len(prefix) :]: v for k, v in state.items() if k.startswith(prefix)})
    return network.eval()


def export(checkpoint: Path) -> int:
    network, recipe = averaged(checkpoint), Recipe()
    WEIGHTS.mkdir(parents=True, exist_ok=True)
    save_network(network, WEIGHTS / FILE, f"{steps_of(checkpoint)} steps of {recipe.batch}, averaged")
    print(WEIGHTS / FILE)
    return 0


def guess(network: PhotoParser, photos: Photos, folder: Path, long: int) -> int:
    """Labels for photographs without any, kept beside them: the mean of two sizes and their mirror images, where it is
    sure enough.
    """
    path, labels = folder / "unlabelled" / "guessed.npy", np.full(photos.pictures.shape[:3], OUTSIDE, np.uint8)
    for row in range(len(photos)):
        width, height = (int(n) for n in photos.sizes[row])
        picture, joints = np.asarray(photos.pictures[row, :height, :width]), photos.joints[row]
        with torch.autocast("cpu", torch.bfloat16):
            odds = [picture_odds(network, picture, joints, long=size) for size in (long, long * 3 // 4)]
        found = decide(((odds[0] + odds[1]) / 2)[None])[0].numpy()
        first, second = (together(each[None])[0] for each in odds)
        sure = ((first + second) / 2).amax(0).numpy() >= SURE
        agreed = (first.argmax(0) == second.argmax(0)).numpy()
        labels[row, :height, :width] = np.where(sure & agreed, found, OUTSIDE)
        if (row + 1) % 100 == 0:
            share = float((labels[: row + 1] != OUTSIDE).mean())
            print(f"{row + 1} of {len(photos)} photographs labelled, {share:.1%} of the pixels sure", flush=True)
    np.save(path, labels)
    return 0


def guessed_photos(folder: Path) -> Photos | None:
    """The photographs that `guess` labelled, or None."""
    path = folder / "unlabelled" / "guessed.npy"
    if not path.exists():
        return None

    names = json.loads((path.parent / "names.json").read_text())
    photos = Photos(
        tuple(names),
        np.load(path.parent / "pictures.npy", mmap_mode="r"),
        np.load(path.parent / "sizes.npy"),
        None,
        np.load(path.parent / "joints.npy"),
    )
    return replace(photos, labels=np.load(path, mmap_mode="r"))
