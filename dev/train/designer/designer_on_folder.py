"""`python dev.py train designer --data FOLDER`: the studio designer goes on with a user's own captioned pictures.

It begins with the shipped weights. Words of the captions that the text encoder was never taught get rows of their own,
which begin as its row for unknown words; of the text encoder only the table of words is trained. Nothing of the shipped
files is overwritten: the result is a folder that Load Designer takes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from ....models.studio.designer.network import Config
from ..run import RUNS, WEIGHTS, studio_latents, trainer
from . import design_folder
from .design_prompts import UNKNOWN, Words
from .design_record import Design
from .designer import DesignerTraining, Recipe
from .designer_files import export, shipped

TABLE = "text.text_model.embeddings.token_embedding.weight"
GENTLE = Recipe(lr=0.005, adam_lr=5e-4)
DECAY = 0.4  # last share of the steps, in which the learning rate falls to zero


class OwnDesigns(DesignerTraining):
    """The designer's training with a length that is known beforehand, and a text table that may learn."""

    def __init__(self, latents, numbers: list[int], config: Config, steps: int, recipe: Recipe = GENTLE):
        super().__init__(latents, numbers, config, recipe)
        self.steps = steps
        self.network.text.text_model.embeddings.token_embedding.requires_grad_(True)

    def _supervised(self, probes: list, clean: Tensor, batch) -> tuple[Tensor, dict]:
        """Nothing is known of which garment a cell shows, nor of the layout: nothing is supervised but the picture."""
        self.layout.forget()
        return clean.new_zeros(()), {}

    def rate(self, step: int) -> float:
        """Share of the learning rate: a short rise, then constant, falling to zero at the end."""
        falling = (self.steps - step) / max(1.0, DECAY * self.steps)
        return min(1.0, (step + 1) / self.recipe.warm_up, max(0.0, falling))


def words_of(tokenizer: Path, designs: Sequence[Design]) -> Words:
    """The studio's words and all of the captions'."""
    return Words(tokenizer, [design.caption for design in designs])


def widened(table: Tensor, before: Sequence[int], after: Sequence[int]) -> Tensor:
    """A table of words [1 + before, width] for more words [1 + after, width]: new ones begin as the unknown word."""
    rows = {number: row for row, number in enumerate(before, 1)}
    return table[torch.tensor([UNKNOWN, *(rows.get(number, UNKNOWN) for number in after)])].clone()


def start(weights: Path, words: Words, steps: int, latents=None) -> OwnDesigns:
    """The shipped designer, ready to go on with these words. Raises ValueError where it is not there."""
    path = weights / "designer.safetensors"
    if not path.exists():
        raise ValueError(
            f"{path} is missing; train the designer on drawn figures first (`python dev.py train designer`)."
        )
    config = Config(
        **{key: tuple(value) if isinstance(value, list) else value for key, value in _said(path)["network"].items()}
    )
    state = shipped(weights)
    state[TABLE] = widened(state[TABLE], _said(weights / "text_encoder.safetensors")["words"], words.numbers)
    module = OwnDesigns(latents or studio_latents(), words.numbers, config, steps)
    module.start_from(state)
    return module


def train(options, tokenizer: Path) -> int:
    """options: those of `dev.py train designer`; data is the folder."""
    designs = design_folder.read(options.data)
    words = words_of(tokenizer, designs)
    module = start(WEIGHTS, words, options.steps)
    name = "designer-" + re.sub(r"[^\w-]+", "-", Path(options.data).resolve().name)
    last = RUNS / name / "last.ckpt"
    if last.exists():
        module.position = torch.load(last, map_location="cpu", weights_only=True)["atelier"]["position"]
    data = design_folder.FolderDesigns(designs, words, module.recipe.batch, module.position)
    loop = trainer(name, options.steps, options.save_every, options.threads)
    loader = torch.utils.data.DataLoader(data, batch_size=None, num_workers=options.workers)
    loop.fit(module, loader, ckpt_path=last if last.exists() else None, weights_only=True)
    loop.save_checkpoint(last)
    out, network = RUNS / name / "weights", module.network
    out.mkdir(parents=True, exist_ok=True)
    note = f"{options.steps} steps of {module.recipe.batch} on {len(designs)} pictures of its owner, from the studio's"
    for path in export(module.ema, module.numbers, network.unet.config, network.text.config, out, note):
        print(path)
    print(f"copy {out} to ComfyUI/models/atelier/designer/{name} and choose it in Load Designer")
    return 0


def _said(path: Path) -> dict:
    with safe_open(str(path), "pt") as file:
        return json.loads((file.metadata() or {}).get("atelier", "{}"))
