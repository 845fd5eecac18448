"""The refiner: drafts, unfinished or finished, become finished pictures at a larger size.

An unfinished latent at its own size goes on exactly where it stopped: no new noise, the schedule's own sigmas. Anything
else (a larger size, a finished latent, a picture) is noised anew to the level where the work begins.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import comfy.model_management
import comfy.patcher_extension
import comfy.sample
import comfy.samplers
import comfy.utils
import latent_preview
import torch

from ...craft.counts import check_count
from ...craft.pick_list import parse_picks
from ...craft.picture.mask_edges import feather_mask
from ...craft.picture.tile_layout import TileLayout
from . import unfinished_latent
from .unfinished_latent import Unfinished

if TYPE_CHECKING:
    from ..host_types import Model, Vae

KEY = "atelier_refine"
AUTO = -1.0
CELL = 8  # pixels of one latent cell
NOT_TILED = ("control", "area", "mask", "gligen", "noise_concat", "concat_latent_image")


@dataclass(frozen=True)
class Run:
    """How to sample: steps of a whole run, and the share of it (`denoise`) for drafts that are noised anew."""

    seed: int
    steps: int
    cfg: float
    sampler: str
    scheduler: str
    denoise: float


@dataclass(frozen=True)
class Tiles:
    """largest: the longest side in pixels that is sampled whole (0: no limit); overlap in pixels."""

    largest: int = 1024
    overlap: int = 128


def refine(
    model: Model,
    vae: Vae,
    positive: list,
    negative: list,
    *,
    latent: dict | None,
    images: torch.Tensor | None,
    pick: str,
    scale: float,
    sigma: float,
    run: Run,
    tiles: Tiles,
    protect: torch.Tensor | None = None,
    feather: int = 16,
) -> tuple[dict, torch.Tensor]:
    """(LATENT, IMAGE [B, H, W, 3]).

    sigma: noise level of the latent; AUTO reads it from the latent. protect: MASK, 1 where the picture must stay: those
    pixels and latent cells are the (scaled) draft's own, bit for bit. Raises ValueError before sampling for whatever
    does not fit.
    """
    if (latent is None) == (images is None):
        raise ValueError("Connect either drafts as a latent or drafts as pictures, one of the two.")
    if images is not None:
        images = images[parse_picks(pick, len(images))][..., :3]
        latent, state = {}, None
    else:
        latent = unfinished_latent.picked(latent, parse_picks(pick, len(latent["samples"])))
        state = _state(model, latent, sigma)
    schedule = comfy.samplers.calculate_sigmas(model.get_model_object("model_sampling"), run.scheduler, run.steps)
    goes_on = state is not None and state.sigma > 0 and scale == 1
    if goes_on and protect is not None:
        raise ValueError(
            "A protected mask keeps parts of a finished picture, but this latent is unfinished: refine it first."
        )
    sigmas = _from(schedule, state.sigma) if state and state.sigma > 0 else _last_part(model, run)
    if goes_on:
        start, before = latent["samples"], None
    else:
        start, before = _clean_start(vae, latent, state, images, scale)
    start = comfy.sample.fix_empty_latent_channels(model, start)
    tiled = _tiled(model, positive, negative, start, tiles)
    keep = None if protect is None else _fitted(protect, start, before, vae)
    samples = _sample(tiled, positive, negative, start, latent, sigmas, run, keep, add_noise=not goes_on)
    picture = vae.decode(samples)
    if keep is not None:
        cells = _cells(keep, start)
        samples = torch.where(cells.bool(), start.to(samples), samples)
        picture = _pasted(picture, vae.decode(start) if before is None else before, keep, feather)
    out = {name: value for name, value in latent.items() if name not in (unfinished_latent.KEY, "noise_mask")}
    return {**out, "samples": samples}, picture


def _state(model, latent: dict, sigma: float) -> Unfinished | None:
    """Where the latent stands; None when it is finished. Checks it against the model and the given sigma."""
    mark: Unfinished | None = latent.get(unfinished_latent.KEY)
    samples = latent["samples"]
    family, channels = unfinished_latent.family_of(model), model.get_model_object("latent_format").latent_channels
    if samples.shape[1] != channels:
        raise ValueError(f"The latent has {samples.shape[1]} channels, the model ({family}) works on {channels}.")
    if mark is not None and mark.family != family:
        raise ValueError(
            f"The latent was made in the {mark.family} latent space, the model works in {family}; use its own model."
        )
    untouched = mark is not None and mark.samples.shape == samples.shape and torch.equal(mark.samples, samples)
    if sigma == AUTO and mark is not None and not untouched:
        raise ValueError(
            f"The latent stopped at sigma {mark.sigma:.4g} and was changed by another node since; "
            "set `sigma` to the noise that "
            "is in it now (0 for a finished one)."
        )
    if sigma != AUTO and untouched and abs(sigma - mark.sigma) > 1e-4 * max(1.0, mark.sigma):
        raise ValueError(
            f"The latent stopped at sigma {mark.sigma:.4g}, but `sigma` says {sigma:.4g}; leave it on -1 (automatic)."
        )
    level = (mark.sigma if untouched else 0.0) if sigma == AUTO else sigma
    largest = float(model.get_model_object("model_sampling").sigma_max)
    if level > largest * 1.001:
        raise ValueError(
            f"The latent has noise of sigma {level:.4g}, the model's schedule ends at {largest:.4g}; they do not match."
        )
    if level == 0:
        return None
    return mark if untouched else Unfinished(level, family, samples, None)


def _from(schedule: torch.Tensor, sigma: float) -> torch.Tensor:
    """The schedule from `sigma` on: its own step when it has one there, else a first step from sigma to the next
    below."""
    close = (schedule - sigma).abs() <= 1e-6 * max(1.0, sigma)
    if bool(close.any()):
        return schedule[int(close.nonzero()[0]) :]
    return torch.cat([torch.tensor([sigma]), schedule[schedule < sigma]])


def _last_part(model, run: Run) -> torch.Tensor:
    """run.steps sigmas that end a schedule of steps / denoise, as the host's KSampler counts."""
    if not 0 < run.denoise <= 1:
        raise ValueError(f"denoise is {run.denoise}; a finished draft needs more than 0 and at most 1.")
    whole = run.steps if run.denoise > 0.9999 else int(run.steps / run.denoise)
    sigmas = comfy.samplers.calculate_sigmas(model.get_model_object("model_sampling"), run.scheduler, whole)
    return sigmas[-(run.steps + 1) :]


def _clean_start(vae, latent, state, images, scale) -> tuple[torch.Tensor, torch.Tensor | None]:
    """(clean latents at the final size, the picture at that size or None where none was needed)."""
    if images is None:
        clean = latent["samples"] if state is None else state.drafts
        if clean is None:
            raise ValueError(
                "A noisy latent from elsewhere can only go on at its own size; set scale to 1 or finish it first."
            )
        if scale == 1:
            return clean, None
        images = vae.decode(clean)
    height, width = (max(CELL, round(side * scale / CELL) * CELL) for side in images.shape[1:3])
    if (height, width) != tuple(images.shape[1:3]):
        images = comfy.utils.common_upscale(images.movedim(-1, 1), width, height, "lanczos", "disabled").movedim(1, -1)
    return vae.encode(images), images


def _sample(model, positive, negative, start, latent, sigmas, run: Run, keep, *, add_noise: bool) -> torch.Tensor:
    noise = torch.zeros_like(start)
    if add_noise:
        noise = comfy.sample.prepare_noise(start, run.seed, latent.get("batch_index"))
    mask = latent.get("noise_mask")
    if keep is not None:
        mask = 1 - _cells(keep, start)
    return comfy.sample.sample_custom(
        model,
        noise,
        run.cfg,
        comfy.samplers.sampler_object(run.sampler),
        sigmas,
        positive,
        negative,
        start,
        noise_mask=mask,
        callback=latent_preview.prepare_callback(model, len(sigmas) - 1),
        disable_pbar=True,
        seed=run.seed,
    )


def _fitted(protect: torch.Tensor, start: torch.Tensor, before: torch.Tensor | None, vae) -> torch.Tensor:
    """bool [B, H, W] at the picture's size; a pixel is protected when any part of it is."""
    if before is not None:
        size = tuple(before.shape[1:3])
    else:
        size = tuple(side * CELL for side in start.shape[-2:])
    mask = (protect if protect.ndim == 3 else protect[None]).float()
    check_count(len(mask), "protected masks", len(start), "drafts")
    if tuple(mask.shape[1:]) != size:
        larger = size[0] >= mask.shape[1]
        mode = {"size": size, "mode": "bilinear"} if larger else {}
        mask = (
            torch.nn.functional.interpolate(mask[:, None], **mode)[:, 0]
            if larger
            else torch.nn.functional.adaptive_max_pool2d(mask[:, None], size)[:, 0]
        )
    return (mask > 0).expand(len(start), -1, -1)


def _cells(keep: torch.Tensor, start: torch.Tensor) -> torch.Tensor:
    """float [B, 1, h, w]: 1 for every latent cell with a protected pixel."""
    return torch.nn.functional.adaptive_max_pool2d(keep[:, None].float(), tuple(start.shape[-2:]))


def _pasted(new: torch.Tensor, old: torch.Tensor, keep: torch.Tensor, feather: int) -> torch.Tensor:
    """`old` where protected, bit for bit; the change fades in over `feather` pixels beside it."""
    keep = keep[:, : old.shape[1], : old.shape[2]]
    new, old = new[:, : old.shape[1], : old.shape[2]].to(old), old[: len(new)]
    share = feather_mask(~keep, feather)[..., None].to(old)
    return torch.where(keep[..., None], old, old + share * (new - old))


def _tiled(model, positive, negative, start: torch.Tensor, tiles: Tiles):
    """The model, or a clone that predicts in overlapping tiles when the latent is larger than the limit.

    Every step blends the predictions of all tiles (MultiDiffusion, Bar-Tal et al. 2023), so there is no seam to hide
    afterwards.
    """
    size, limit = tuple(start.shape[-2:]), tiles.largest // CELL
    if tiles.largest == 0 or max(size) <= limit:
        return model
    for values in (values for _, values in [*positive, *negative]):
        found = [name for name in NOT_TILED if name in values]
        if found:
            raise ValueError(
                f"A picture of {size[1] * CELL} x {size[0] * CELL} is refined in tiles, "
                f"and {found[0]!r} in the conditioning belongs "
                f"to the whole picture; raise the tile limit ({tiles.largest}) or leave it out."
            )
    if model.model.concat_keys:
        raise ValueError(
            "An inpainting checkpoint cannot be refined in tiles; raise the tile limit or use a plain checkpoint."
        )
    layout = TileLayout(size, (limit, limit), tiles.overlap // CELL)
    weight = layout.weight()

    def predict(executor, x, timestep, *args, **kwargs):
        total, weights = torch.zeros_like(x), torch.zeros_like(x[:1, :1])
        for rows, columns in layout.windows():
            comfy.model_management.throw_exception_if_processing_interrupted()
            part = weight.to(x)
            total[..., rows, columns] += part * executor(x[..., rows, columns].contiguous(), timestep, *args, **kwargs)
            weights[..., rows, columns] += part
        return total / weights

    model = model.clone()
    model.add_wrapper_with_key(comfy.patcher_extension.WrappersMP.PREDICT_NOISE, KEY, predict)
    return model
