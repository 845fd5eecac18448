"""`python dev.py train designer`: run the designer's recipe and write its weights."""

from __future__ import annotations

import argparse
from pathlib import Path

import lightning
import torch

from ..half import SIGNIFICANT
from ..run import ROOT, RUNS, WEIGHTS, studio_latents, trainer
from .design_critic import taught_critic
from .designer_data import LOWEST, NEAREST, DrawnDesigns
from .designer_text import taught_text

OUTPUT_SEEDS = 4_500_000  # figures that the decoder sees as the designer finishes them
NEW_START = 350_000  # number of the first batch of a run that begins with trained weights


def train_designer(args: list[str]) -> int:
    from .designer import DesignerTraining, Recipe

    parser = argparse.ArgumentParser(
        prog="dev.py train designer", description="Train designer, text encoder and pose ControlNet."
    )
    parser.add_argument("--steps", type=int, default=8000, help="length of the stable phase, all sessions together")
    parser.add_argument(
        "--decay", type=int, default=0, help="fork from the stable phase, decay over so many steps, write the weights"
    )
    parser.add_argument("--sharpen", action="store_true", help="with --decay: judge the results' pictures too")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--processes", type=int, default=1, help="cards or groups of cores, with a batch each")
    parser.add_argument("--workers", type=int, default=1, help="processes that draw figures, for each of them")
    parser.add_argument("--save-every", type=int, default=200)
    parser.add_argument(
        "--export-only", action="store_true", help="write the averaged weights of the stable phase as they are"
    )
    parser.add_argument(
        "--tokenizer", type=Path, help="folder with CLIP's vocab.json and merges.txt (default: the host's)"
    )
    parser.add_argument("--text-steps", type=int, default=4000, help="steps of the text encoder, which is taught first")
    parser.add_argument("--critic-steps", type=int, default=6000, help="steps of the critic, which is taught next")
    parser.add_argument(
        "--bits", type=int, default=SIGNIFICANT, help="significant bits of the matrices in the designer's file"
    )
    parser.add_argument("--batch", type=int, default=Recipe.batch, help="figures of a process in every step")
    parser.add_argument(
        "--rollouts",
        type=float,
        default=Recipe.rollout,
        metavar="STRENGTH",
        help="ask the critic for attributes and colours of figures that the designer is drawing itself",
    )
    parser.add_argument("--freeze-pose", action="store_true", help="leave the pose ControlNet as it is")
    parser.add_argument(
        "--only-transformers",
        action="store_true",
        help="leave the UNet's convolutions and time embedding as they are (biases and norms still learn)",
    )
    parser.add_argument("--pace", type=float, default=1.0, metavar="SHARE", help="share of the learning rates")
    parser.add_argument(
        "--from-weights",
        action="store_true",
        help="begin a new stable phase from the shipped weights (no earlier run is at hand)",
    )
    options = parser.parse_args(args)
    lightning.seed_everything(5, verbose=False)
    tokenizer = options.tokenizer or host_tokenizer()
    data = DrawnDesigns(tokenizer)
    recipe = Recipe(batch=options.batch, rollout=options.rollouts)
    module = DesignerTraining(studio_latents(), data.words.numbers, recipe=recipe)
    module.frozen_pose, module.only_transformers = options.freeze_pose, options.only_transformers
    module.pace = options.pace
    stable, forked = RUNS / "designer" / "last.ckpt", RUNS / "designer-decay" / "last.ckpt"
    start = stable if stable.exists() else None
    if start is not None and options.from_weights:
        parser.error(f"there is a run to go on with in {stable.parent}; leave out --from-weights, or move it away")
    if options.export_only:
        saved = torch.load(stable, map_location="cpu", weights_only=True)
        _write(
            module,
            saved["atelier"]["ema"],
            f"{saved['global_step']} steps of {module.recipe.batch}, averaged, not decayed",
            options.bits,
        )
        return 0
    name, steps = "designer", options.steps
    if options.decay:
        if start is None:
            parser.error("there is no stable phase to decay from; run `dev.py train designer --steps N` first")
        name = "designer-decay"
        first = torch.load(stable, map_location="cpu", weights_only=True)["global_step"]
        if forked.exists() and forked.stat().st_mtime > stable.stat().st_mtime:
            start = forked
        module.decay, steps = (first, options.decay), first + options.decay
        if options.sharpen:
            from ..sharpening import Sharpening
            from ..tryon.one_step import load_decoder

            module.sharpening = Sharpening(load_decoder(WEIGHTS / "autoencoder.safetensors"))
    if start is not None:
        module.position = torch.load(start, map_location="cpu", weights_only=True)["atelier"]["position"]
    else:
        _begin(module, data.words, options)
    module.critic = taught_critic(module.latents, options.critic_steps, RUNS / "designer")
    data.batch, data.position = module.recipe.batch, module.position
    loop = trainer(name, steps, options.save_every, options.threads, options.processes)
    data.courses = module.recipe.rollout > 0
    data.shard = (loop.global_rank, loop.world_size)
    loader = torch.utils.data.DataLoader(
        data, batch_size=None, num_workers=options.workers, prefetch_factor=4 if options.workers else None
    )
    loop.fit(module, loader, ckpt_path=start, weights_only=True)
    loop.save_checkpoint(RUNS / name / "last.ckpt")
    if options.decay and loop.is_global_zero:
        _write(module, module.network.state_dict(), f"{steps} steps of {module.recipe.batch}", options.bits)
    return 0


def train_designer_outputs(args: list[str]) -> int:
    """Guesses of the trained designer at its lowest noise levels, which in use are its results."""
    from ..outputs import BATCH, write_outputs
    from .design_prompts import PromptMix
    from .designer import DesignerTraining
    from .designer_files import shipped

    def opened():
        data = DrawnDesigns(host_tokenizer(), batch=BATCH, seed=OUTPUT_SEEDS, mix=PromptMix(empty=0.0, by_level=0.0))
        module = DesignerTraining(studio_latents(), data.words.numbers)
        module.start_from(shipped(WEIGHTS))

        def make(number: int):
            batch = data.make(number)
            batch.t = LOWEST + batch.t % NEAREST
            return module.guess(batch, torch.Generator().manual_seed(number))[0], batch.person

        return make

    says = "Let the designer finish drawn figures; the decoder is tuned on them."
    return write_outputs(args, "designer-outputs", says, RUNS / "designer-outputs.safetensors", opened)


def _begin(module, words, options) -> None:
    """A new run: the shipped weights, or a taught text encoder and the convolutions of the try-on network."""
    from safetensors.torch import load_file

    from .designer_files import shipped, start_from_tryon

    if options.from_weights:
        # With their own text encoder: one that is taught anew says the same in other numbers.
        module.start_from(shipped(WEIGHTS))
        module.position = NEW_START
        return
    text = {
        f"text.{name}": tensor for name, tensor in taught_text(words, options.text_steps, RUNS / "designer").items()
    }
    if (WEIGHTS / "tryon.safetensors").exists():
        copied = start_from_tryon(module.network.unet, load_file(str(WEIGHTS / "tryon.safetensors")))
        print(copied, "tensors of the try-on network taken over")
        module.start_from(text)
    else:
        module.start_from(text)


def _write(module, state: dict, note: str, bits: int) -> None:
    from .designer_files import export

    WEIGHTS.mkdir(parents=True, exist_ok=True)
    unet, text = module.network.unet.config, module.network.text.config
    for path in export(state, module.numbers, unet, text, WEIGHTS, note, bits):
        print(path)


def host_tokenizer() -> Path:
    """The folder of CLIP's tokenizer in the host that this pack runs in."""
    from ...setup.host_files import find_host

    return find_host(ROOT) / "comfy" / "sd1_tokenizer"
