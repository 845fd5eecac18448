"""The host's guidance with shares by channel, for models whose file names them (`guided`)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from ...models.fastfit.channel_guidance import shared

if TYPE_CHECKING:
    from ..host_types import Model


def read(config: dict, channels: int, name: str) -> torch.Tensor | None:
    """The shares [C] in a file's metadata; None: it has none. Raises ValueError unless there is one finite number of at
    least 0 a channel.
    """
    said = config.get("guided")
    if said is None:
        return None
    fine = isinstance(said, list) and all(isinstance(x, int | float) and math.isfinite(x) and x >= 0 for x in said)
    if not fine or len(said) != channels:
        raise ValueError(
            f"{name} names guidance shares for {len(said) if isinstance(said, list) else 'no list of'} channels; "
            f"expected {channels} numbers of at least 0, one a latent channel. Take the file from where it came again."
        )
    return torch.tensor(said, dtype=torch.float32)


def attach(patcher: Model, shares: torch.Tensor) -> None:
    """Guide each channel by its share. Works before the host's own cfg, so that RescaleCFG and other cfg nodes act on
    top.
    """

    def before_cfg(args: dict) -> list:
        outs = args["conds_out"]
        if len(outs) < 2 or outs[0] is None or outs[1] is None or None in args["conds"][:2]:
            return outs  # cfg 1: the host left the unconditional pass out
        return [shared(outs[0], outs[1], args["cond_scale"], shares), *outs[1:]]

    patcher.set_model_sampler_pre_cfg_function(before_cfg)
