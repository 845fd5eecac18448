"""The layout of HieraFashDiff's and EquiFashion's checkpoints, by prefix. Formats are recognised by keys, never by file
names.

One Lightning checkpoint holds a Stable Diffusion 2 UNet, its ControlNet, the autoencoder, an open_clip ViT-H text tower
and the noise schedule. EquiFashion's adds training-time networks, of which only the generator is of use.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

UNET, CONTROLNET = "model.diffusion_model.", "control_model."
AUTOENCODER, TEXT = "first_stage_model.", "cond_stage_model."
PARTS = {"UNet": UNET, "ControlNet": CONTROLNET, "autoencoder": AUTOENCODER, "text encoder": TEXT}
SCHEDULE = frozenset(
    [
        "betas",
        "alphas_cumprod",
        "alphas_cumprod_prev",
        "sqrt_alphas_cumprod",
        "sqrt_one_minus_alphas_cumprod",
        "log_one_minus_alphas_cumprod",
        "sqrt_recip_alphas_cumprod",
        "sqrt_recipm1_alphas_cumprod",
        "posterior_variance",
        "posterior_log_variance_clipped",
        "posterior_mean_coef1",
        "posterior_mean_coef2",
        "logvar",
    ]
)
EQUIFASHION = (
    "latent_generator.", "latent_discriminator.", "semantic_encoder.", "garment_segmentor.", "structural_consensus.",
    "fashion_compat_loss.", "clip_semantic_loss.", "lpips_loss.",
)  # fmt: skip
CONTEXT_WIDTH = 1024  # ViT-H
_PROBE = UNET + "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"


def unwrap(state_dict: Mapping[str, Any]) -> Mapping[str, Any]:
    """Take the tensors out of a Lightning dict, which may wrap them in `state_dict` more than once."""
    while isinstance(state_dict.get("state_dict"), Mapping):
        state_dict = state_dict["state_dict"]
    return state_dict


def check(state_dict: Mapping[str, Any]) -> None:
    """Raise ValueError unless the keys are a HieraFashDiff or EquiFashion checkpoint's."""
    absent = [name for name, prefix in PARTS.items() if not any(key.startswith(prefix) for key in state_dict)]
    if absent:
        raise ValueError(
            f"This file has no {', '.join(absent)} ({', '.join(PARTS[name] for name in absent)}...); a "
            "HieraFashDiff checkpoint holds "
            "UNet, ControlNet, autoencoder and text encoder in one file. For another checkpoint use the "
            "host's own loaders."
        )
    width = state_dict[_PROBE].shape[1] if _PROBE in state_dict else None
    if width != CONTEXT_WIDTH:
        raise ValueError(
            f"This file's UNet takes text of width {width}; HieraFashDiff is a Stable Diffusion 2 network with "
            f"{CONTEXT_WIDTH}."
        )


def part(state_dict: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """The entries below a prefix, under their full names."""
    return {key: value for key, value in state_dict.items() if key.startswith(prefix)}


def unknown(state_dict: Iterable[str]) -> list[str]:
    """Keys that belong neither to the networks, nor to the noise schedule, nor to EquiFashion's extra networks."""
    known = (*PARTS.values(), *EQUIFASHION)
    return sorted(key for key in state_dict if key not in SCHEDULE and not key.startswith(known))
