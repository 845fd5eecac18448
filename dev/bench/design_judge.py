"""Held-out figures, pictures of them, and the networks that measure how well a picture shows what was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ..pack import ROOT
from . import design_forms, design_measures

WEIGHTS = ROOT / "models" / "studio" / "weights"
OTHER_TRUE = 100_000  # figures of these seeds further on are the true ones that FID and coverage compare with


@dataclass
class Figures:
    """Held-out figures: pictures [N,3,256,192] in 0..1, joints [N,18,3], what each is asked to show."""

    asks: list[design_forms.Ask]
    asked: list[dict[str, str]]
    pictures: Tensor
    joints: np.ndarray


@dataclass
class Row:
    """Pictures of one form: `rows` says for which figure each is."""

    pictures: Tensor
    rows: np.ndarray
    seconds: float = 0.0
    drafts: list[Tensor] | None = None  # several pictures of one prompt, for diversity


def figures(seeds: range, measured: bool = True) -> Figures:
    """measured: leave out of `asked` what cannot be seen in the true picture."""
    from ...croquis import random_figure, render
    from ...croquis.captions import figure_caption
    from ..train.attribute_classifier import attributes_of
    from .design_visibility import seen

    asks, asked, pictures, joints = [], [], [], []
    for seed in seeds:
        spec = random_figure(seed)
        drawn, said = render(spec, want=("person", "pose")), figure_caption(spec)
        asks.append(design_forms.Ask(said["concept"], tuple(said["attributes"]), drawn.pose, seed))
        asked.append(seen(spec, attributes_of(spec), drawn.person) if measured else attributes_of(spec))
        pictures.append(drawn.person)
        joints.append(drawn.keypoints)
    pixels = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255
    return Figures(asks, asked, pixels, np.stack(joints).astype(np.float32))


class Judge:
    """The networks that measure, and the true figures that FID and coverage compare with."""

    def __init__(self, held: Figures, seeds: range):
        from ...models.studio.attribute_classifier import load_classifier
        from ...models.studio.body_network import load_network
        from ..train.tryon.one_step import load_autoencoder

        path = WEIGHTS / "attribute_classifier.safetensors"
        if not path.is_file():
            raise ValueError(
                f"{path.name} is missing from models/studio/weights; train it with `python dev.py train attributes`."
            )
        self.held, self.classifier = held, load_classifier(path)
        self.body = load_network(WEIGHTS / "body.safetensors")
        self.encode, self.decode = load_autoencoder(WEIGHTS / "autoencoder.safetensors")
        others = figures(range(seeds.start + OTHER_TRUE, seeds.stop + OTHER_TRUE), measured=False)
        self.true = design_measures.read(self.classifier, others.pictures, others.joints)[1]

    def originals(self, prompts: int, drafts: int) -> Row:
        """The true pictures; their drafts are the same clothes and pose on other people in other rooms."""
        from ...croquis import random_figure, render

        groups = []
        for seed in (ask.seed for ask in self.held.asks[:prompts]):
            people = [random_figure(seed + OTHER_TRUE * (draft + 1)) for draft in range(drafts)]
            specs = [replace(random_figure(seed), body=one.body, background=one.background) for one in people]
            drawn = np.stack([render(spec, want=("person",)).person for spec in specs])
            groups.append(torch.from_numpy(drawn).permute(0, 3, 1, 2).float() / 255)
        return Row(self.held.pictures, np.arange(len(self.held.asks)), drafts=groups or None)

    def round_trips(self, figures: Sequence[int] | None = None) -> Row:
        pictures = self.held.pictures if figures is None else self.held.pictures[figures]
        with torch.no_grad():
            made = [self.decode(self.encode(one[None])).clamp(0, 1) for one in pictures]
        return Row(torch.cat(made), np.arange(len(made)))

    def own_accuracy(self) -> dict[str, float]:
        """How often each head is right on the originals."""
        shown, _ = design_measures.read(self.classifier, self.held.pictures, self.held.joints)
        return design_measures.by_head(shown, self.held.asked)

    def measure(self, row: Row, captions: int = 0, poses: int = 0) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        """(figures, accuracies by column). captions, poses: how many figures further on the one is whose caption or
        pose
        it is held against: 0 its own, 1 as a control.
        """
        from .bench_body import pck

        count = len(self.held.asks)
        said = [self.held.asked[(i + captions) % count] for i in row.rows]
        joints = self.held.joints[row.rows]
        shown, features = design_measures.read(self.classifier, row.pictures, joints)
        table = design_measures.by_figure(design_measures.accuracies(shown, said), row.rows)
        low, high = design_measures.interval(table)
        leaks = design_measures.leaks(shown, said)
        body = design_measures.joints_of(self.body, row.pictures)
        asked = self.held.joints[(row.rows + poses) % count]
        found = {f"{name}": float(np.nanmean(values)) for name, values in table.items()}
        found |= {"mean": design_measures.mean_accuracy(table), "low": low, "high": high,
                  "leak": float(leaks.mean()) if len(leaks) else float("nan"), "leak n": float(len(leaks)),
                  "PCK": pck(body, asked), "n": float(len(row.pictures))}  # fmt: skip
        if not captions and not poses:
            found |= {
                "FID": design_measures.frechet(features, self.true),
                "coverage": design_measures.coverage(features, self.true),
            }
        if row.drafts:
            with torch.no_grad():
                found["diversity"] = design_measures.diversity([self.encode(group.float()) for group in row.drafts])
        return found, table
