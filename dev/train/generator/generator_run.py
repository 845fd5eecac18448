"""`python dev.py train generator`: run the ideation generator's recipe, look at its drafts, write its weights."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import lightning
import numpy as np
import torch
from PIL import Image
from safetensors import safe_open
from torch import Tensor

from ....models.equifashion.generator import LatentGenerator
from ....models.studio.designer.text_encoder import TextConfig, TextEncoder
from ..designer.design_prompts import Words, prompt
from ..designer.designer_run import host_tokenizer
from ..latents import Latents
from ..run import RUNS, WEIGHTS, studio_latents, trainer
from ..tryon.inputs import LAST
from .generator_data import SEEDS, DraftBatches, figure_of, pool_of_latents

FOLDER = RUNS / "generator"
REACH = 3.0  # deviations that the output reaches: a wider reach leaves it few steps between grey and saturated


def train_generator(args: list[str]) -> int:
    from .generator import GeneratorTraining, Recipe, export, fit_to_text

    parser = argparse.ArgumentParser(
        prog="dev.py train generator", description="Train the studio's ideation generator."
    )
    parser.add_argument("--steps", type=int, default=4000, help="all sessions together")
    parser.add_argument("--pool", type=int, default=8000, help="figures to draw")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--save-every", type=int, default=200)
    parser.add_argument(
        "--tokenizer", type=Path, help="folder with CLIP's vocab.json and merges.txt (default: the host's)"
    )
    parser.add_argument(
        "--text-from-run",
        action="store_true",
        help="the text encoder of the designer's run in this folder instead of the shipped one",
    )
    parser.add_argument(
        "--refit", action="store_true", help="no training: only learn a text encoder that has changed since"
    )
    options = parser.parse_args(args)
    last = FOLDER / "last.ckpt"
    if options.refit and not last.exists():
        parser.error(f"--refit needs the run that the generator came from; {last} is not there. Train with --steps N.")
    lightning.seed_everything(13, verbose=False)
    words, recipe, latents = Words(options.tokenizer or host_tokenizer()), Recipe(), studio_latents()
    pool, text = pool_of_latents(options.pool, latents, FOLDER), text_encoder(words, options.text_from_run)
    scale = REACH * torch.from_numpy((pool[:1000].astype(np.float32) ** 2).mean((0, 2, 3)) ** 0.5)
    module = GeneratorTraining(text, scale, options.steps, recipe)
    if last.exists():
        saved = torch.load(last, map_location="cpu", weights_only=True)
        changed = adopt_text(saved, module, words, fit_to_text)
        if changed is not None:
            print(f"the text encoder has changed; the generator's reading of it was fitted anew (R2 {changed:.3f})")
            torch.save(saved, last)
        module.load_state_dict(saved["state_dict"])
        module.position = saved["atelier"]["position"]
    else:
        with torch.no_grad():
            module.begin_with(torch.cat([text(part).mean(1) for part in captions(1500, words, SEEDS).split(100)]))
    if not options.refit:
        loop = trainer("generator", 2 * options.steps, 2 * options.save_every, options.threads)
        data = DraftBatches(pool, words, recipe.batch, module.position)
        loader = torch.utils.data.DataLoader(data, batch_size=None, num_workers=1, prefetch_factor=4)
        loop.fit(module, loader, ckpt_path=last if last.exists() else None, weights_only=True)
        loop.save_checkpoint(last)
    generator = module.average.module.cpu().eval()
    steps = torch.load(last, map_location="cpu", weights_only=True)["global_step"] // 2
    path = WEIGHTS / "generator.safetensors"
    export(generator, module.scale, path, f"{steps} steps of {recipe.batch}, pool {options.pool}")
    print(path, write_drafts(FOLDER / "drafts.png", generator, module.scale, text, words, latents))
    return 0


def text_encoder(words: Words, from_run: bool = False) -> TextEncoder:
    """The designer's text encoder, with its table of trained words. It is taught before the designer and then fixed.

    from_run: the one that a run of the designer's recipe in this folder goes by, instead of the shipped one.
    """
    path = (RUNS / "designer" / "text.safetensors") if from_run else (WEIGHTS / "text_encoder.safetensors")
    if not path.exists():
        raise ValueError(f"{path} is missing; train the designer first (`python dev.py train designer`).")
    with safe_open(str(path), "pt") as file:
        state = {key: file.get_tensor(key).float() for key in file.keys()}  # noqa: SIM118
        said = json.loads((file.metadata() or {}).get("atelier", "{}"))
    if said.get("words", words.numbers) != words.numbers:
        raise ValueError(
            f"{path} knows other words than this recipe's; train the designer anew, or take its own version."
        )
    config = said.get("config")
    size = (
        TextConfig(config["hidden_size"], config["num_hidden_layers"], config["num_attention_heads"])
        if config
        else TextConfig()
    )
    encoder = TextEncoder(size, 1 + len(words.numbers))
    encoder.load_state_dict(state)
    return encoder.eval()


def captions(count: int, words: Words, first: int) -> Tensor:
    """Prompts of drawn figures as rows of the trained table, [count, 77]."""
    rng = np.random.default_rng(first)
    return torch.from_numpy(np.stack([words.encode(prompt(figure_of(first + n), 0, rng))[0] for n in range(count)]))


@torch.no_grad()
def adopt_text(saved: dict, module, words: Words, fit) -> float | None:
    """Put the present text encoder in a saved run's place, its generator fitted to it. None: it is the same one."""
    state = saved["state_dict"]
    own = {key: value.clone() for key, value in module.text.state_dict().items()}
    if all(torch.equal(state[f"text.{key}"], value) for key, value in own.items()):
        return None
    told = captions(1500, words, SEEDS)
    after = torch.cat([module.text(part).mean(1) for part in told.split(100)])
    module.load_state_dict(state)
    before = torch.cat([module.text(part).mean(1) for part in told.split(100)])
    readers = (module.reading, module.generator.context_projection, module.average.module.context_projection)
    explained, *_ = [fit(layer, before, after) for layer in readers]
    module.text.load_state_dict(own)
    saved["state_dict"] = module.state_dict()
    return explained


@torch.no_grad()
def write_drafts(
    path: Path,
    generator: LatentGenerator,
    scale: Tensor,
    text: TextEncoder,
    words: Words,
    latents: Latents,
    rows: int = 4,
    columns: int = 6,
) -> str:
    """A sheet of held-out prompts, a true figure and drafts from pure noise a row. Says how far drafts lie apart."""
    from ....croquis import render

    told = captions(rows, words, 0)
    context, random = text(told).mean(1), torch.Generator().manual_seed(0)
    sheet, apart = [], []
    for row in range(rows):
        z, u = torch.randn(2, columns, latents.channels, 32, 24, generator=random)
        made = generator(z, u, context[row].expand(columns, -1), torch.full((columns,), float(LAST))) * scale.view(
            -1, 1, 1
        )
        apart.append(torch.pdist(made.flatten(1)).mean() / made[0].numel() ** 0.5)
        true = torch.from_numpy(render(figure_of(row), want=("person",)).person.copy()).permute(2, 0, 1) / 255
        sheet.append(torch.cat([true, *latents.decode(made).clamp(0, 1)], 2))
    picture = (torch.cat(sheet, 1).permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    Image.fromarray(picture).save(path)
    return f"drafts of one prompt lie {float(torch.stack(apart).mean()):.2f} apart; {path}"
