"""The loop that every recipe runs in: Lightning, resumable after a kill, metrics in a CSV, sample sheets.

`python dev.py train tryon --steps 3000` starts or goes on; `--decay 800` forks from the stable phase, decays the
learning rate to zero and writes the weights.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger

from ..pack import ROOT
from .latents import Latents, fit
from .tryon.pairs import DrawnPairs

_OF_0_1 = ROOT / "training" / "runs"  # where version 0.1 kept its runs; those that were begun there go on
RUNS = _OF_0_1 if _OF_0_1.is_dir() else ROOT / "output" / "training"
WEIGHTS = ROOT / "models" / "studio" / "weights"
LATENT_SEEDS = 900_000  # figures that the latents are fitted on
OUTPUT_SEEDS = 4_000_000  # figures that the decoder sees as the try-on makes them


def studio_latents(folder: Path = RUNS, figures: int = 500) -> Latents:
    """The latents' basis: fitted once on drawn figures and flat-lays, then kept."""
    path = folder / "latents.safetensors"
    if not path.exists():
        from ...croquis import random_figure, render

        folder.mkdir(parents=True, exist_ok=True)
        pictures = []
        for seed in range(LATENT_SEEDS, LATENT_SEEDS + figures):
            kinds = [None, ("upper", "lower", "shoe", "bag")][seed % 4 == 0]
            figure = render(random_figure(seed, kinds), want=("person", "flat"))
            pictures += [figure.person, *figure.flats[:2]] if seed % 4 else [figure.person, *figure.flats]
        fit(np.stack(pictures)).save(path)
    return Latents.load(path)


def trainer(name: str, steps: int, save_every: int, threads: int, processes: int = 1) -> lightning.Trainer:
    """processes: cards, or groups of `threads` cores where there is no card, that share the work: each takes a batch
    of its own and all of them take one step, along the mean of their gradients.
    """
    torch.set_num_threads(threads)
    gpu = torch.cuda.is_available()
    keep = ModelCheckpoint(dirpath=RUNS / name, filename="last", every_n_train_steps=save_every, save_top_k=1,
                           enable_version_counter=False, save_on_train_epoch_end=False)  # fmt: skip
    return lightning.Trainer(
        max_steps=steps, accelerator="gpu" if gpu else "cpu", devices=processes,
        strategy="ddp" if processes > 1 else "auto", precision="bf16-mixed", callbacks=[keep],
        logger=CSVLogger(RUNS, name=name), log_every_n_steps=20, gradient_clip_val=None, enable_model_summary=False,
    )  # fmt: skip


def batches(position: int, batch: int, workers: int, detected: float) -> torch.utils.data.DataLoader:
    data = DrawnPairs(batch, position, detected=detected, weights=WEIGHTS, layout=True)
    return torch.utils.data.DataLoader(
        data, batch_size=None, num_workers=workers, prefetch_factor=4 if workers else None
    )


def train_tryon(args: list[str]) -> int:
    from ...models.fastfit.network import Config
    from .tryon import tryon_guidance
    from .tryon.one_step import load_network
    from .tryon.tryon import TryOnTraining, export

    parser = argparse.ArgumentParser(prog="dev.py train tryon", description="Train the studio try-on network.")
    parser.add_argument("--steps", type=int, default=4000, help="length of the stable phase, all sessions together")
    parser.add_argument(
        "--decay", type=int, default=0, help="fork from the stable phase, decay over so many steps, write the weights"
    )
    parser.add_argument("--sharpen", action="store_true", help="with --decay: judge the results' pictures too")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1, help="processes that draw figures")
    parser.add_argument("--save-every", type=int, default=150)
    parser.add_argument(
        "--export-only", action="store_true", help="write the averaged weights of the stable phase as they are"
    )
    parser.add_argument(
        "--from-weights",
        action="store_true",
        help="begin a new stable phase from the shipped weights (no earlier run is at hand)",
    )
    parser.add_argument(
        "--fit-guidance",
        action="store_true",
        help="only fit the shares of guidance by channel to the written weights, and write them into their file",
    )
    options = parser.parse_args(args)
    if options.fit_guidance:
        print("\n", tryon_guidance.refit(WEIGHTS / "tryon.safetensors", studio_latents()))
        return 0
    lightning.seed_everything(7, verbose=False)
    network = load_network(WEIGHTS / "tryon.safetensors") if options.from_weights else None
    module = TryOnTraining(studio_latents(), network.config if network else Config())
    stable, forked = RUNS / "tryon" / "last.ckpt", RUNS / "tryon-decay" / "last.ckpt"
    if options.export_only:
        saved = torch.load(stable, map_location="cpu", weights_only=True)
        note = f"{saved['global_step']} steps of {module.recipe.batch}, averaged, not decayed"
        WEIGHTS.mkdir(parents=True, exist_ok=True)
        export(saved["atelier"]["ema"], module.network.config, WEIGHTS / "tryon.safetensors", note)
        return 0
    name, start, steps = "tryon", stable if stable.exists() else None, options.steps
    if options.from_weights:
        if start is not None:
            parser.error(
                f"there is a run to go on with in {RUNS / 'tryon'}; leave out --from-weights, or move that folder away"
            )
        module.start_from(network)
    if options.decay:
        if start is None:
            parser.error("there is no stable phase to decay from; run `dev.py train tryon --steps N` first")
        name = "tryon-decay"
        first = torch.load(stable, map_location="cpu", weights_only=True)["global_step"]
        if forked.exists() and forked.stat().st_mtime > stable.stat().st_mtime:
            start = forked
        module.decay, steps = (first, options.decay), first + options.decay
        if options.sharpen:
            from .sharpening import Sharpening
            from .tryon.one_step import load_decoder

            module.sharpening = Sharpening(load_decoder(WEIGHTS / "autoencoder.safetensors"))
    if start is not None:
        module.position = torch.load(start, map_location="cpu", weights_only=True)["atelier"]["position"]
    loop = trainer(name, steps, options.save_every, options.threads)
    loop.fit(
        module,
        batches(module.position, module.recipe.batch, options.workers, module.recipe.detected),
        ckpt_path=start,
        weights_only=True,
    )
    loop.save_checkpoint(RUNS / name / "last.ckpt")
    if options.decay:
        WEIGHTS.mkdir(parents=True, exist_ok=True)
        export(
            module.network.state_dict(),
            module.network.config,
            WEIGHTS / "tryon.safetensors",
            f"{steps} steps of {module.recipe.batch}",
            tryon_guidance.fitted(module.network.eval(), module.latents),
        )
    return 0


def train_tryon_outputs(args: list[str]) -> int:
    """Figures dressed by the trained try-on."""
    from .outputs import BATCH, write_outputs
    from .tryon import one_step

    def opened():
        latents, network = studio_latents(), one_step.load_network(WEIGHTS / "tryon.safetensors")
        data = DrawnPairs(BATCH, seed=OUTPUT_SEEDS)

        def make(number: int):
            batch = data.make(number)
            made = one_step.predict(network, latents, batch, seed=number)
            return one_step.inside(made, latents, batch), batch.person

        return make

    says = "Dress new figures; the decoder is tuned on them."
    return write_outputs(args, "tryon-outputs", says, RUNS / "tryon-outputs.safetensors", opened)


def train_autoencoder(args: list[str]) -> int:
    from .autoencoder import Crops, DecoderTraining, export
    from .tryon.one_step import load_decoder

    parser = argparse.ArgumentParser(
        prog="dev.py train autoencoder", description="Train the studio autoencoder's decoder."
    )
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--tune",
        metavar="FILE",
        nargs="+",
        help="go on from the trained decoder, with outputs that `dev.py train tryon-outputs` and `designer-outputs`"
        " wrote",
    )
    parser.add_argument(
        "--from-weights", action="store_true", help="with --tune: the trained decoder is the shipped one"
    )
    parser.add_argument("--export-only", action="store_true", help="write the weights from the last checkpoint")
    options = parser.parse_args(args)
    lightning.seed_everything(11, verbose=False)
    name = "autoencoder-tuned" if options.tune else "autoencoder"
    module = DecoderTraining(studio_latents(), options.steps, lr=0.01 if options.tune else 0.02)
    last, outputs = RUNS / name / "last.ckpt", None
    start = last if last.exists() else None
    if options.tune:
        from safetensors.torch import load_file

        found = [load_file(path) for path in options.tune]
        outputs = tuple(torch.cat([tensors[name] for tensors in found]) for name in ("latents", "pictures"))
        if start is None and options.from_weights:
            module.decoder.load_state_dict(load_decoder(WEIGHTS / "autoencoder.safetensors").state_dict())
        elif start is None:
            state = torch.load(RUNS / "autoencoder" / "last.ckpt", map_location="cpu", weights_only=True)["state_dict"]
            module.load_state_dict(state)
    if start is not None:
        checkpoint = torch.load(start, map_location="cpu", weights_only=True)
        module.position = checkpoint["atelier"]["position"]
        if options.export_only:
            module.load_state_dict(checkpoint["state_dict"])
    if not options.export_only:
        loop = trainer(name, options.steps, 200, options.threads)
        data = torch.utils.data.DataLoader(Crops(module.latents, module.position, outputs=outputs), batch_size=None)
        loop.fit(module, data, ckpt_path=start, weights_only=True)
        loop.save_checkpoint(last)
    export(module, WEIGHTS / "autoencoder.safetensors")
    return 0
