"""Ways to draw a design with the studio designer inside the host: what `dev.py bench design-quality` compares.

Every form goes through the nodes that a workflow uses; figures whose conditionings have one shape are sampled together,
each with the noise of its own seed, so that all forms start from the same noise.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..pack import ROOT

CELL = 8


@dataclass(frozen=True)
class Ask:
    """What is asked of one picture: the caption's concept and attributes, the pose picture uint8 [H,W,3], a
    noise seed.
    """

    concept: str
    attributes: tuple[str, ...]
    pose: np.ndarray | None
    seed: int

    @property
    def text(self) -> str:
        return ", ".join([self.concept, *self.attributes]) if self.concept else ""


@dataclass(frozen=True)
class Settings:
    steps: int = 20
    cfg: float = 3.0
    sampler: str = "euler"
    scheduler: str = "normal"  # ends at the lowest level that the designer was trained on
    batch: int = 12
    binding: float = 0.5
    bound: int = 100  # figures of the binding forms
    bind_form: str = "mix"
    repulsion: float = 0.3
    denoise: float = 0.5  # of the refiner on finished drafts
    size: tuple[int, int] = (192, 256)


class Studio:
    """The designer as Load Designer gives it, and a few of the host's and the pack's nodes to call."""

    def __init__(self, files: Sequence[Path] | None = None):
        """files: a designer's own files; None: the shipped one. Raises ValueError when there is none."""
        from ..setup.host_files import find_host
        from ..setup.host_in_process import enter

        self._folder = tempfile.TemporaryDirectory()
        enter(find_host(ROOT), Path(self._folder.name))
        import nodes as host_nodes

        from ...host.design import load_designer
        from ...nodes import NODE_CLASS_MAPPINGS

        self.classes = {**host_nodes.NODE_CLASS_MAPPINGS, **NODE_CLASS_MAPPINGS}
        loaded = load_designer.load(list(files) if files else load_designer.resolve(load_designer.STUDIO))
        self.model, self.clip, self.vae, self.control_net = loaded

    def decoding_thin(self) -> Studio:
        """The same, decoding without the zeros that pad the studio autoencoder: for the studio's own latents."""
        from ..train.tryon.one_step import load_autoencoder

        decode = load_autoencoder(ROOT / "models" / "studio" / "weights" / "autoencoder.safetensors")[1]
        self.decode = lambda latent: decode(latent.float()).float().clamp(0, 1).detach()
        return self

    def rescaled(self, multiplier: float) -> Studio:
        """The same with the host's RescaleCFG behind the loader, which keeps guidance from overdoing colours."""
        from comfy_extras.nodes_model_advanced import RescaleCFG

        self.model = RescaleCFG().patch(self.model, multiplier)[0]
        return self

    def call(self, name: str, **inputs):
        """What a node's function returns; a node that expands into a graph is followed."""
        made = self.classes[name]
        out = getattr(made(), made.FUNCTION)(**inputs)
        if isinstance(out, dict) and "expand" in out:
            return tuple(self._follow(value, out["expand"]) for value in out["result"])
        return out["result"] if isinstance(out, dict) else out

    def _follow(self, value, graph: dict):
        """A link into a graph as the output behind it; links to the loader's own outputs are the CLIP."""
        if not (isinstance(value, list) and len(value) == 2 and isinstance(value[0], str)):
            return value
        if value == CLIP_LINK:
            return self.clip
        node = graph[value[0]]
        inputs = {name: self._follow(given, graph) for name, given in node["inputs"].items()}
        return self.call(node["class_type"], **inputs)[value[1]]

    def encode(self, text: str) -> list:
        return self.call("CLIPTextEncode", clip=self.clip, text=text)[0]

    def decode(self, latent: Tensor) -> Tensor:
        """[B,3,H,W] in 0..1 on the CPU."""
        with torch.no_grad():
            return self.vae.decode(latent).movedim(-1, 1).float().clamp(0, 1).cpu()


CLIP_LINK = ["the designer", 1]


def flat(studio: Studio, ask: Ask) -> tuple[list, object | None]:
    """(conditioning, timetable): the whole caption at every step."""
    return studio.encode(ask.text), None


def hierarchical(studio: Studio, ask: Ask) -> tuple[list, object | None]:
    """The Hierarchical Prompt Scheduler's stages at the published borders."""
    from ...nodes.prompt import BORDERS_TEXT

    positive, _, timetable = studio.call(
        "AtelierHierarchicalPromptScheduler", clip=CLIP_LINK, concept=ask.concept, attributes="\n".join(ask.attributes),
        negative="", borders=BORDERS_TEXT, order="as given", join="accumulate", model=studio.model,
    )  # fmt: skip
    return positive, timetable


def stacked(entries: Sequence[list]) -> list:
    """One conditioning for several pictures out of theirs, row by row. Raises ValueError when their stages differ."""
    shapes = {tuple((tuple(tensor.shape), *_window(values)) for tensor, values in one) for one in entries}
    if len(shapes) != 1:
        raise ValueError(f"Conditionings of {len(shapes)} different shapes cannot be sampled together.")
    out = []
    for stage in zip(*entries):
        pooled = [values.get("pooled_output") for _, values in stage]
        values = dict(stage[0][1])
        if pooled[0] is not None:
            values["pooled_output"] = torch.cat(pooled)
        out.append([torch.cat([tensor for tensor, _ in stage]), values])
    return out


def _window(values: dict) -> tuple:
    return tuple(values.get(name) for name in ("timestep_start", "timestep_end"))


def noise_of(studio: Studio, ask: Ask, settings: Settings, draft: int = 0) -> Tensor:
    channels = studio.model.get_model_object("latent_format").latent_channels
    width, height = (side // CELL for side in settings.size)
    generator = torch.Generator().manual_seed(ask.seed * 1000 + draft)
    return torch.randn(1, channels, height, width, generator=generator)


def conditioned(studio: Studio, positive: list, poses: Sequence[np.ndarray | None]) -> tuple[list, list]:
    """(positive, negative) with the pose ControlNet, where there are poses; the negative prompt is empty."""
    negative = studio.encode("")
    if poses[0] is None:
        return positive, negative
    if studio.control_net is None:
        raise ValueError("This designer has no pose ControlNet; measure it without poses.")
    image = torch.from_numpy(np.stack(poses)).float() / 255
    return studio.call(
        "ControlNetApplyAdvanced", positive=positive, negative=negative, control_net=studio.control_net, image=image,
        strength=1.0, start_percent=0.0, end_percent=1.0,
    )  # fmt: skip


def sampled(studio: Studio, model, positive: list, negative: list, noise: Tensor, settings: Settings) -> Tensor:
    """The finished latents of the host's sampler."""
    import comfy.sample

    empty = torch.zeros_like(noise)
    with torch.no_grad():
        return comfy.sample.sample(
            model, noise, settings.steps, settings.cfg, settings.sampler, settings.scheduler, positive, negative, empty,
            disable_pbar=True, seed=0,
        )  # fmt: skip


Say = Callable[[Studio, Ask], tuple[list, object | None]]


def drawn(
    studio: Studio, asks: Sequence[Ask], settings: Settings, say: Say = flat
) -> Iterator[tuple[list[int], Tensor]]:
    """(numbers of the asks, their pictures [B,3,H,W]), batch by batch."""
    said = [say(studio, ask)[0] for ask in asks]
    groups: dict[tuple, list[int]] = {}
    for number, one in enumerate(said):
        groups.setdefault(tuple((tuple(t.shape), *_window(v)) for t, v in one), []).append(number)
    for members in groups.values():
        for start in range(0, len(members), settings.batch):
            rows = members[start : start + settings.batch]
            positive, negative = conditioned(studio, stacked([said[i] for i in rows]), [asks[i].pose for i in rows])
            noise = torch.cat([noise_of(studio, asks[i], settings) for i in rows])
            yield rows, studio.decode(sampled(studio, studio.model, positive, negative, noise, settings))


def bound(
    studio: Studio, asks: Sequence[Ask], settings: Settings, say: Say = hierarchical
) -> Iterator[tuple[list[int], Tensor]]:
    """As `drawn`, with Bind Attributes; one picture at a time, because each has its own pairs of words."""
    for number, ask in enumerate(asks):
        said, timetable = say(studio, ask)
        try:
            model, positive, _ = studio.call(
                "AtelierBindAttributes", model=studio.model, clip=studio.clip, conditioning=said, text=ask.text,
                form=settings.bind_form, strength=settings.binding, start=0.0, end=0.8, pairs="", timetable=timetable,
            )  # fmt: skip
        except ValueError as problem:
            if "No attribute pair" not in str(problem):
                raise
            model, positive = studio.model, said  # a caption without any pair is drawn as it is
        positive, negative = conditioned(studio, positive, [ask.pose])
        yield (
            [number],
            studio.decode(sampled(studio, model, positive, negative, noise_of(studio, ask, settings), settings)),
        )


def ideas(
    studio: Studio, asks: Sequence[Ask], settings: Settings, drafts: int, generator=None, repulsion: float | None = None
) -> Iterator[tuple[int, Tensor]]:
    """(number of the ask, its drafts [drafts,3,H,W]): five eighths of the steps by the Ideation Sampler, the rest by
    the Refiner, at the same cfg and the same number of steps as everything else.
    """
    width, height = (side // CELL for side in settings.size)
    stop = max(1, min(settings.steps - 1, round(settings.steps * 5 / 8)))
    for number, ask in enumerate(asks):
        positive, negative = conditioned(studio, hierarchical(studio, ask)[0], [ask.pose])
        channels = studio.model.get_model_object("latent_format").latent_channels
        empty = {"samples": torch.zeros(drafts, channels, height, width)}
        with torch.no_grad():
            latent, *_ = studio.call(
                "AtelierIdeationSampler", model=studio.model, positive=positive, negative=negative, latent=empty,
                seed=ask.seed * 1000, steps=settings.steps, stop_after=stop, cfg=settings.cfg,
                scheduler=settings.scheduler,
                sampler="euler", repulsion=settings.repulsion if repulsion is None else repulsion, fusion=1.0,
                gamma=0.7,
                fusion_from=1000.0, fusion_to=0.0, form="ddim step", generator=generator,
            )  # fmt: skip
            finished = refined(studio, positive, negative, ask.seed, settings, latent=latent)
        yield number, finished


def refined(studio: Studio, positive: list, negative: list, seed: int, settings: Settings, **drafts) -> Tensor:
    """[B,3,H,W] of the Refiner on `latent` or `images`, at their own size."""
    _, images = studio.call(
        "AtelierRefiner", model=studio.model, vae=studio.vae, positive=positive, negative=negative, pick="all",
        scale=1.0,
        denoise=settings.denoise, steps=settings.steps, cfg=settings.cfg, sampler=settings.sampler,
        scheduler=settings.scheduler, seed=seed, sigma=-1.0, tile=1024, overlap=128, feather=16, **drafts,
    )  # fmt: skip
    return images.movedim(-1, 1).float().clamp(0, 1).cpu()
