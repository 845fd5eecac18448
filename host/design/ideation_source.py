"""Sources of ideas for the ideation sampler: EquiFashion's latent generator, or any few-step MODEL.

The published generator answers in (-1, 1) with the latent at the next level. The studio's file says in its metadata
(entry "atelier") that its answer is the clean latent, and what the answer is multiplied with (`latent_scale`).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import comfy.model_management
import comfy.model_sampling
import comfy.sample
import comfy.samplers
import comfy.utils
import torch
from safetensors import safe_open

from ...models.equifashion.generator import GENERATOR_PREFIX, MULTIPLE, LatentGenerator, generator_from
from ...models.studio import WEIGHTS as STUDIO_FOLDER
from ...models.studio import card
from .. import model_file
from ..managed_network import patcher_class
from .unfinished_latent import family_of

if TYPE_CHECKING:
    from ..host_types import Conditioning, Model

LOG = logging.getLogger(__name__)

KEY = "atelier_ideation"
STUDIO = "studio"
STUDIO_FILE = STUDIO_FOLDER / "generator.safetensors"
NEXT_LEVEL, CLEAN = "next level", "clean latent"  # what a generator proposes


@dataclass(frozen=True)
class _Said:
    """A text of the positive conditioning and the sigmas between which it is said."""

    pooled: torch.Tensor
    start: float
    end: float


def load_generator(path: str) -> Model:
    """A patcher around the generator of a checkpoint; only its tensors are read from a .safetensors file.

    Raises ValueError when the file has none, or cannot be read safely.
    """
    if Path(path).suffix == ".safetensors":
        model_file.read_metadata(Path(path))  # a sentence where the file cannot be read
        with safe_open(path, framework="pt") as file:
            state = {key: file.get_tensor(key) for key in file.keys() if key.startswith(GENERATOR_PREFIX)}  # noqa: SIM118
    else:
        state = comfy.utils.load_torch_file(path, safe_load=True)
    with torch.inference_mode(False):
        generator = generator_from(state)
    return patcher_class()(
        generator, comfy.model_management.get_torch_device(), comfy.model_management.unet_offload_device()
    )


def generator_names(checkpoints: list[str]) -> list[str]:
    """What Load Ideation Generator offers: the host's checkpoints, and the pack's own "studio" where it is there."""
    return [*checkpoints, STUDIO] if STUDIO_FILE.is_file() else list(checkpoints)


def load_source(path: str) -> GeneratorSource:
    """The generator of a checkpoint as a source. Raises ValueError for a file without one, or with nonsense in it."""
    patcher, name = load_generator(path), Path(path).name
    described = card.card_of(model_file.read_metadata(Path(path)), name) if Path(path).suffix == ".safetensors" else {}
    if described.get("format", "ideation_generator") != "ideation_generator":
        described = {}  # a file of several parts, whose card is another part's
    settings = card.checked(card.GeneratorCard, described, name)
    if settings.proposes not in (NEXT_LEVEL, CLEAN):
        raise ValueError(
            f"{name} proposes {settings.proposes!r}; known are {NEXT_LEVEL!r} and {CLEAN!r}. Choose another file."
        )
    scale, channels = settings.latent_scale, patcher.model.net[6].weight.shape[1]
    scale = scale if isinstance(scale, list) else [scale]
    if len(scale) not in (1, channels):
        raise ValueError(
            f"{name}'s latent_scale must be one positive number or one for each of {channels} channels; "
            "choose an undamaged file."
        )
    LOG.info("Load Ideation Generator: %s, %d latent channels, proposes the %s", name, channels, settings.proposes)
    return GeneratorSource(patcher, tuple(float(x) for x in scale), settings.proposes)


@dataclass(frozen=True)
class GeneratorSource:
    """EquiFashion's generator: z_gan = G(z_t, u, c, t), new seeded noise u each step, c the mean of the positive
    text. scale: what its output is multiplied with, one number or one a channel; proposes: what it then is.
    noise_scale: how many times as much noise the model has at every timestep as the schedule that the generator knows.
    """

    patcher: object
    scale: tuple[float, ...] = (1.0,)
    proposes: str = NEXT_LEVEL
    said: tuple[_Said, ...] = ()
    noise: torch.Generator | None = None
    noise_scale: float = 1.0

    def prepared(
        self, model: Model, positive: Conditioning, negative: Conditioning, samples: torch.Tensor, seed: int
    ) -> GeneratorSource:
        """With the texts of this run. Raises ValueError when model, text or size do not fit the generator."""
        generator: LatentGenerator = self.patcher.model
        sampling = model.get_model_object("model_sampling")
        if isinstance(sampling, comfy.model_sampling.CONST):
            raise ValueError("The ideation generator works on Stable Diffusion's noise schedule; this is a flow model.")
        channels, width = generator.net[6].weight.shape[1], generator.context_projection.weight.shape[1]
        if samples.shape[1] != channels:
            raise ValueError(
                f"The generator makes latents of {channels} channels, the model works on {samples.shape[1]}."
            )
        if samples.shape[-1] % MULTIPLE or samples.shape[-2] % MULTIPLE:
            raise ValueError(
                f"With the generator the latent's sides must be multiples of {MULTIPLE}; this one is "
                f"{samples.shape[-1]} x "
                f"{samples.shape[-2]}. Use picture sides that are multiples of 64."
            )
        if positive[0][0].shape[-1] != width:
            raise ValueError(
                f"The generator reads text of width {width}, this conditioning has {positive[0][0].shape[-1]}: "
                "they belong to different text encoders."
            )
        noise = torch.Generator().manual_seed((seed + 1) % 2**63)
        said = tuple(_said(entry, sampling) for entry in positive)
        return replace(self, said=said, noise=noise, noise_scale=getattr(sampling, "noise_scale", 1.0))

    def attached_to(self, model: Model) -> Model:
        """The model with the generator as a companion that the host loads beside it."""
        model = model.clone()
        model.set_additional_models(KEY, [self.patcher])
        return model

    def proposal(self, x: torch.Tensor, sigma: torch.Tensor, sigma_next: torch.Tensor, t: float) -> torch.Tensor:
        """The generator's latent at the next level, in the sampler's scale."""
        now = float(sigma)
        active = [one.pooled for one in self.said if one.end <= now <= one.start] or [self.said[-1].pooled]
        context = torch.stack([text.mean(0) for text in active]).mean(0).to(x)
        u = self.draw(x.shape).to(x)
        z = x / (1 + sigma**2) ** 0.5
        levels = torch.full((len(x),), t, device=x.device)
        made = self.patcher.model(z.float(), u.float(), context.float().expand(len(x), -1), levels)
        made = made.to(x.dtype) * torch.tensor(self.scale).to(x)[:, None, None]
        if self.proposes == CLEAN:  # the noise that is left when the proposal is true goes on, as in DDIM
            return made + (x - made) * (sigma_next / sigma)
        return made * (1 + sigma_next**2) ** 0.5

    def draw(self, shape: Sequence[int]) -> torch.Tensor:
        """The next u."""
        return torch.randn(shape, generator=self.noise)


@dataclass(frozen=True)
class ModelSource:
    """A few-step MODEL: its predicted picture at this level, noised anew to the next level (as consistency models
    step)."""

    model: object
    cfg: float = 1.0
    texts: tuple = ()
    seed: int = 0
    noise: torch.Generator | None = None

    def prepared(
        self, model: Model, positive: Conditioning, negative: Conditioning, samples: torch.Tensor, seed: int
    ) -> ModelSource:
        """With the texts of this run. Raises ValueError when the two models do not share a latent space."""
        mine, theirs = family_of(model), family_of(self.model)
        if mine != theirs:
            raise ValueError(
                f"The source model works on {theirs} latents, the model on {mine}; both must be the same family."
            )
        noise = torch.Generator().manual_seed((seed + 1) % 2**63)
        return replace(self, texts=(positive, negative), seed=seed, noise=noise)

    def proposal(self, noise: torch.Tensor, latent: torch.Tensor, sigmas: torch.Tensor) -> torch.Tensor:
        """The source's latent at sigmas[1], in model space; noise and latent as the main model got them for this
        step."""
        found = {}

        @torch.no_grad()
        def look(inner, x, two, extra_args=None, callback=None, disable=None):
            found["x0"] = inner(x, two[0] * x.new_ones([x.shape[0]]), **(extra_args or {}))
            return found["x0"]

        comfy.sample.sample_custom(
            self.model,
            noise,
            self.cfg,
            comfy.samplers.KSAMPLER(look),
            sigmas,
            *self.texts,
            latent,
            disable_pbar=True,
            seed=self.seed,
        )
        x0 = found["x0"].float().cpu()
        fresh = torch.randn(x0.shape, generator=self.noise)
        sampling = self.model.get_model_object("model_sampling")
        if float(sigmas[1]) == 0:
            return x0
        return sampling.noise_scaling(sigmas[1].cpu(), fresh, x0)


def _said(entry, sampling) -> _Said:
    tensor, values = entry
    start, end = float("inf"), 0.0
    if "start_percent" in values:
        start = float(sampling.percent_to_sigma(values["start_percent"]))
    if "end_percent" in values:
        end = float(sampling.percent_to_sigma(values["end_percent"]))
    start, end = values.get("timestep_start", start), values.get("timestep_end", end)
    return _Said(tensor.mean(1), float(start), float(end))


def choose(generator: GeneratorSource | None, model: Model, cfg: float) -> GeneratorSource | ModelSource | None:
    """The one connected source. Raises ValueError for two."""
    if generator is not None and model is not None:
        raise ValueError("Both a generator and a source model are connected; the sampler takes ideas from one of them.")
    return ModelSource(model, cfg) if model is not None else generator
