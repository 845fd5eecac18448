"""Reference Attention: a picture's self-attention keys and values, read by any UNet checkpoint at every step. No
training.

The reference goes through the UNet once a run, at a low noise level; its K,V join the model's own in self-attention, so
the picture that is being made can look at the reference's fabric as it looks at itself. (Reference-only control does
the same with one more pass every step; FastFit trains a network for it.) K,V live in the run and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import comfy.ldm.modules.attention as attention
import comfy.patcher_extension
import comfy.utils
import torch

from .. import run_patches

if TYPE_CHECKING:
    from ..host_types import Model, Vae

KEY = "atelier_reference"
APPLY_TO = ("prompt only", "prompt and negative")


@dataclass(frozen=True)
class Reference:
    """latents [R, C, h, w] unscaled; level: noise level of the pass, 0..999; places: the transformer blocks that take
    part."""

    latents: torch.Tensor
    strength: float
    level: float
    start: float
    end: float
    places: tuple[tuple[str, int, int], ...]
    apply_to: str = APPLY_TO[0]


@dataclass
class _Run:
    """What one sampling run holds: the reference, what it needs for its pass, and the K,V once they are made."""

    reference: Reference
    guider: object
    kv: dict = field(default_factory=dict)  # state of the weights -> {place: (k, v)}, one entry


def encode(vae: Vae, image: torch.Tensor, size: int) -> torch.Tensor:
    """Latents of reference pictures, fitted so that the longer side is `size` pixels (sides become multiples of 16)."""
    height, width = image.shape[1:3]
    scale = size / max(height, width)
    sides = [max(16, round(side * scale / 16) * 16) for side in (width, height)]
    fitted = comfy.utils.common_upscale(
        image[..., :3].movedim(-1, 1), *sides, "lanczos" if scale > 1 else "area", "disabled"
    )
    return vae.encode(fitted.movedim(1, -1))


def attach(
    model: Model, latents: torch.Tensor, *, strength: float = 1.0, level: float = 50.0, start_percent: float = 0.0,
    end_percent: float = 1.0, first_block: int = 0, last_block: int = 1000, apply_to: str = APPLY_TO[0],
) -> Model:  # fmt: skip
    """A clone of the model that reads the reference; the model itself when strength is 0.

    Blocks are counted in the order of the forward pass. Several Reference Attention nodes add up. Raises ValueError for
    a model that is no UNet or has its own garment attention, for latents of another family, and for an empty block
    range.
    """
    unet = run_patches.unet_of(model, "Reference Attention")
    if strength == 0:
        return model
    channels = model.get_model_object("latent_format").latent_channels
    if latents.shape[1] != channels:
        raise ValueError(
            f"The reference's latent has {latents.shape[1]} channels, the model works on {channels}; use its own VAE."
        )
    blocks = list(run_patches.transformer_blocks(unet))
    if any(type(block.attn1) is not attention.CrossAttention for _, block in blocks):
        raise ValueError(
            "This model's self-attention already reads garments of its own (a try-on model); connect them there."
        )
    places = tuple(place for place, _ in blocks[first_block : last_block + 1])
    if not places:
        raise ValueError(
            f"Blocks {first_block} to {last_block} do not exist; this model has blocks 0 to {len(blocks) - 1}."
        )
    start, end = run_patches.window(model, start_percent, end_percent)
    reference = Reference(latents, strength, level, start, end, places, apply_to)
    model = model.clone()
    run_patches.add_run_wrapper(model, KEY, lambda guider, sigmas, options: _prepare(_Run(reference, guider), options))
    return model


def _prepare(run: _Run, options: dict) -> None:
    def apply_model(executor, x, t, c_concat=None, c_crossattn=None, control=None, transformer_options={}, **kwargs):  # noqa: B006
        if run_patches.in_window({"sigmas": t}, run.reference.start, run.reference.end):
            _make_once(run, executor.class_obj)
        return executor(x, t, c_concat, c_crossattn, control, transformer_options, **kwargs)

    comfy.patcher_extension.add_wrapper_with_key(
        comfy.patcher_extension.WrappersMP.APPLY_MODEL, KEY, apply_model, options, is_model_options=True
    )
    for place in run.reference.places:
        run_patches.wrap_attention(
            options, "attn1", place, lambda previous, place=place: _reading(previous, run, place)
        )


def _make_once(run: _Run, model) -> None:
    """The reference's pass, once for one state of the weights (hooks may change them during a run)."""
    hooks = getattr(model.current_patcher, "current_hooks", None)
    state = None if hooks is None else tuple(sorted((str(hook.hook_ref), float(hook.strength)) for hook in hooks.hooks))
    if state not in run.kv:
        run.kv.clear()
        run.kv[state] = _reference_pass(run, model)


def _reference_pass(run: _Run, model) -> dict:
    found: dict = {}

    def keeping(place):
        def attention(q, k, v, extra_options):
            # All reference pictures side by side as the tokens of one row.
            found[place] = (k.flatten(0, 1)[None].clone(), v.flatten(0, 1)[None].clone())
            return run_patches.host_attention(q, k, v, extra_options)

        return attention

    sampling, device = model.model_sampling, run.guider.model_patcher.load_device
    latents = model.process_latent_in(run.reference.latents).to(device)
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(0)).to(latents)
    sigma = sampling.sigma(torch.tensor([run.reference.level])).to(latents).expand(len(latents))
    noisy = sampling.noise_scaling(sigma, noise, latents)
    conds = _conds(run.guider, float(sigma[0]), len(latents))
    if "c_concat" in conds:
        conds["c_concat"] = _nothing_to_repaint(model, latents)
    options: dict = {"transformer_options": {"cond_or_uncond": [0], "uuids": [None], "sigmas": sigma}}
    for place in run.reference.places:
        run_patches.wrap_attention(options, "attn1", place, lambda _, place=place: keeping(place))
    with torch.no_grad():
        model._apply_model(noisy, sigma, transformer_options=options["transformer_options"], **conds)
    return found


def _conds(guider, sigma: float, rows: int) -> dict:
    """What the first positive entry that is said at this sigma (else the first) gives to the model, for `rows` rows."""
    entries = guider.conds.get("positive") or next(iter(guider.conds.values()))
    said = [e for e in entries if e.get("timestep_end", 0.0) <= sigma <= e.get("timestep_start", sigma)]
    entry = (said or entries)[0]
    kept = {}
    for name, cond in entry["model_conds"].items():
        if name != "c_concat":
            kept[name] = cond.process_cond(batch_size=rows, area=None).cond
    return {**kept, "c_concat": None} if "c_concat" in entry["model_conds"] else kept


def _nothing_to_repaint(model, latents: torch.Tensor) -> torch.Tensor:
    """The extra channels of an inpainting checkpoint for a picture of which nothing is masked."""
    parts = []
    for name in model.concat_keys:
        if name not in ("mask", "masked_image"):
            raise ValueError(
                f"This checkpoint wants {name!r} beside the latent; "
                "Reference Attention knows inpainting checkpoints only."
            )
        parts.append(torch.zeros_like(latents[:, :1]) if name == "mask" else latents)
    if not parts:
        raise ValueError("This checkpoint takes extra channels beside the latent that Reference Attention cannot make.")
    return torch.cat(parts, 1)


def _reading(previous, run: _Run, place):
    reference = run.reference

    def attention(q, k, v, extra_options):
        size = run_patches.chunk_rows(extra_options, q.shape[0])
        kinds = extra_options["cond_or_uncond"]
        reads = [kind == 0 or reference.apply_to == APPLY_TO[1] for kind in kinds]
        if not run.kv or not any(reads) or not run_patches.in_window(extra_options, reference.start, reference.end):
            return previous(q, k, v, extra_options)
        if len(k) != len(q):  # HyperTile splits the rows of q alone; the host's attention reads k and v like this
            k, v = (t.reshape(len(q), -1, t.shape[-1]) for t in (k, v))
        (kept,) = run.kv.values()
        rk, rv = (t.to(k).expand(len(q), -1, -1) for t in kept[place])
        if all(reads) and reference.strength == 1:
            return previous(q, torch.cat([k, rk], 1), torch.cat([v, rv], 1), extra_options)
        plain = previous(q, k, v, extra_options)
        # A foreign replacement must see whole batches; the host's own attention may run on the rows that read.
        rows = torch.tensor(reads, device=q.device).repeat_interleave(size)
        if previous is run_patches.host_attention:
            joined = previous(q[rows], torch.cat([k, rk], 1)[rows], torch.cat([v, rv], 1)[rows], extra_options)
        else:
            joined = previous(q, torch.cat([k, rk], 1), torch.cat([v, rv], 1), extra_options)[rows]
        out = plain.clone()
        out[rows] = joined if reference.strength == 1 else torch.lerp(plain[rows], joined, reference.strength)
        return out

    return attention
