"""Edit Part: blended latent diffusion (arXiv 2206.02779) on any of the host's models, from the depth that an attribute
needs.

Only the masked cells are sampled; everything else is the given latent, exactly, at every step and at the end. The start
depths are HieraFashDiff's (its released edits at 100 steps), kept for every step count (reconstructed). Soft masks
follow
Differential Diffusion (arXiv 2306.00950): a cell with a low value joins late.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import comfy.model_management
import comfy.sample
import comfy.samplers
import latent_preview
import node_helpers
import torch

from ...craft.picture.crop_and_stitch import CropPlan, plan_crop, stitch
from ...craft.picture.mask_edges import feather_mask, grow_mask, hard_mask
from ...models.hierafashdiff.schedules import edit_timesteps
from ..images import checked_mask, checked_picture
from ..prompt import hierafashdiff_sampler as published
from ..prompt.prompt_windows import levels_of

if TYPE_CHECKING:
    from ..host_types import Conditioning, Image, Mask, Model, Vae

BLENDINGS = ("exact background", "published (HieraFashDiff)")


@dataclass(frozen=True)
class EditSettings:
    """start: noise level 0..1000 that the edit begins at. attribute: "A1".."A5", for the published blending only.

    grow, feather in pixels. soft: the mask's grey values say how much may change. variants: pictures for each input.
    """

    seed: int
    steps: int
    cfg: float
    sampler_name: str
    scheduler: str
    start: float
    attribute: str = "A1"
    grow: int = 0
    feather: int = 8
    soft: bool = False
    seam_colour: float = 0.0
    variants: int = 1
    blending: str = BLENDINGS[0]


class Edited(NamedTuple):
    """latent [N,C,h,w] for the next edit, picture [N,H,W,3], and the noise levels that were sampled."""

    latent: torch.Tensor
    picture: torch.Tensor
    levels: list[float]


def edit_part(
    model: Model,
    vae: Vae,
    positive: Conditioning,
    negative: Conditioning,
    image: Image,
    mask: Mask,
    settings: EditSettings,
    latent: dict | None = None,
) -> Edited:
    """Change the masked part of the pictures and nothing else.

    image IMAGE [B,H,W,3]; mask MASK [1 or B,H,W]; latent: the LATENT of the edit before, so that its unchanged cells
    are
    not encoded again. Raises ValueError in a sentence before anything is sampled.
    """
    pictures = checked_picture(image, "image")
    values = checked_mask(mask, "mask", pictures)
    marked = grow_mask(values > 0 if settings.soft else hard_mask(values), settings.grow)
    plan = plan_crop(marked.float(), whole=True, multiple=vae.spacial_compression_encode())
    sigmas, levels = edit_sigmas(model, settings)
    base = _start_latent(vae, pictures, plan, latent)
    cells = latent_mask(plan.crop_mask(values if settings.soft else marked.float()), base.shape[-2:], settings.soft)
    base, cells = (x.repeat(settings.variants, *[1] * (x.ndim - 1)) for x in (base, cells))
    positive, negative = _with_inpaint_inputs(model, vae, plan, pictures, marked, positive, negative)
    samples = _sample(model, positive, negative, base, cells, sigmas, settings)
    decoded = vae.decode(samples)
    decoded = decoded.reshape(-1, *decoded.shape[-3:])[..., :3]
    paste = feather_mask(marked, settings.feather)
    paste = paste * values if settings.soft else paste
    picture = stitch(pictures, decoded.to(pictures), plan, paste, seam_colour=settings.seam_colour)
    return Edited(samples, picture, levels)


def edit_sigmas(model: Model, settings: EditSettings) -> tuple[torch.Tensor, list[float]]:
    """The schedule's sigmas from the first step at or below the start level on, and their levels (0..1000).

    Raises ValueError when no step is left.
    """
    if settings.blending == BLENDINGS[1]:
        timesteps = edit_timesteps(settings.attribute, settings.steps, by_index=False)
        return published.published_sigmas(model, timesteps, clean_end=True), [float(t) for t in timesteps]
    model_sampling = model.get_model_object("model_sampling")
    sigmas = comfy.samplers.calculate_sigmas(model_sampling, settings.scheduler, settings.steps).cpu()
    levels = levels_of(model_sampling, sigmas)
    first = next((i for i, level in enumerate(levels[:-1]) if level <= settings.start + 1e-3), None)
    if first is None:
        lowest = levels[-2] if len(levels) > 1 else 1000
        raise ValueError(
            f"None of the {settings.steps} steps of {settings.scheduler!r} lies at or below the start level"
            f" {settings.start:g} (the lowest is {lowest:.0f}); raise the steps or the start level."
        )
    return sigmas[first:], levels[first:-1]


def latent_mask(mask: torch.Tensor, size: tuple[int, int], soft: bool = False) -> torch.Tensor:
    """MASK [B,H,W] -> [B,1,h,w] at latent size: 1 for every cell that holds a marked pixel; soft: the strongest value
    in it.

    (The nearest pixel alone, as published, loses parts thinner than a cell.)
    """
    pooled = torch.nn.functional.adaptive_max_pool2d(mask[:, None].float(), size)
    return pooled if soft else (pooled >= 0.5).float()


def _start_latent(vae, pictures: torch.Tensor, plan: CropPlan, latent: dict | None) -> torch.Tensor:
    if latent is None:
        return _encode(vae, plan.crop(pictures))
    cell, samples = vae.spacial_compression_encode(), latent["samples"]
    wanted = (plan.size[1] // cell, plan.size[0] // cell)
    if tuple(samples.shape[-2:]) != wanted or len(samples) != len(pictures):
        raise ValueError(
            f"The latent of the edit before is {len(samples)} of {samples.shape[-1]}x{samples.shape[-2]} cells, the"
            f" picture needs {len(pictures)} of {wanted[1]}x{wanted[0]}; connect image and latent of the same Edit"
            " Part."
        )
    return samples


def _encode(vae, pictures: torch.Tensor) -> torch.Tensor:
    """One latent for each picture; VAEs made for video would take a batch for the frames of one film."""
    if getattr(vae, "latent_dim", 2) == 3:
        return torch.cat([vae.encode(picture[None]) for picture in pictures])
    return vae.encode(pictures)


def _with_inpaint_inputs(model, vae, plan, pictures, marked, positive, negative):
    """Inpainting checkpoints (9 channels) see the picture with the mask greyed out, and the mask; others see nothing
    more.
    """
    if not {"mask", "masked_image"} <= set(getattr(model.model, "concat_keys", ())):
        return positive, negative
    grey = torch.where(marked[..., None], torch.full_like(pictures, 0.5), pictures)
    inputs = {
        "concat_latent_image": _encode(vae, plan.crop(grey)),
        "concat_mask": plan.crop_mask(marked.float())[:, None],
    }
    return [node_helpers.conditioning_set_values(c, inputs) for c in (positive, negative)]


def _sample(model, positive, negative, base, cells, sigmas, settings: EditSettings) -> torch.Tensor:
    comfy.model_management.throw_exception_if_processing_interrupted()
    base = comfy.sample.fix_empty_latent_channels(model, base)
    noise = comfy.sample.prepare_noise(base, settings.seed)
    sampler, noise_mask = comfy.samplers.sampler_object(settings.sampler_name), cells
    if settings.blending == BLENDINGS[1]:
        sampler, noise_mask = published.edit_sampler(cells[:, 0]), None
    elif settings.soft and "denoise_mask_function" not in model.model_options:
        model = model.clone()
        model.set_model_denoise_mask_function(_late_joiners(sigmas))
    samples = comfy.sample.sample_custom(
        model, noise, settings.cfg, sampler, sigmas, positive, negative, base, noise_mask=noise_mask,
        callback=latent_preview.prepare_callback(model, len(sigmas) - 1), seed=settings.seed,
    )  # fmt: skip
    if not torch.isfinite(samples).all():
        raise ValueError("The sampler returned values that are not finite; try another sampler, or a lower cfg.")
    # The host blends the background in float arithmetic; here it becomes the very bits that came in.
    mask = (
        (cells > 0)
        .expand(-1, samples.shape[1], -1, -1)
        .reshape(len(cells), samples.shape[1], *_ones(samples), *cells.shape[-2:])
    )
    return torch.where(mask, samples, base.to(samples))


def _ones(samples: torch.Tensor) -> tuple[int, ...]:
    return (1,) * (samples.ndim - 4)


def _late_joiners(sigmas: torch.Tensor):
    """The mask of a step: cells whose value reaches the share of the edit that is still to come."""

    def function(sigma, mask, extra_options):
        model_sampling = extra_options["model"].inner_model.model_sampling
        start, now = (float(levels_of(model_sampling, torch.tensor([float(s)]))[0]) for s in (sigmas[0], sigma[0]))
        return (mask >= min(1.0, now / max(start, 1e-6))).to(mask)

    return function
