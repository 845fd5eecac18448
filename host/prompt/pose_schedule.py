"""HieraFashDiff's pose schedule M(t) with the host's ControlNets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import comfy.controlnet
import torch

from ...craft.prompt.prompt_text import LEVELS
from ...models.hierafashdiff.schedules import guess_mode_scales
from .prompt_windows import overlap

if TYPE_CHECKING:
    from ..host_types import ControlNet, Model, Vae


class FadingControl(comfy.controlnet.ControlNet):
    """A ControlNet whose outputs fade with depth (guess mode): strength * 0.825^(n-1-i), the middle block last."""

    def control_merge(self, control: dict, control_prev: dict | None, output_dtype: torch.dtype) -> dict:
        outputs, middle = control.get("output", []), control.get("middle", [])
        scales = guess_mode_scales(1.0, len(outputs) + len(middle))
        scaled = {
            **control,
            "output": [x if x is None else x * s for x, s in zip(outputs, scales)],
            "middle": [x if x is None else x * s for x, s in zip(middle, scales[len(outputs) :])],
        }
        return super().control_merge(scaled, control_prev, output_dtype)

    def copy(self) -> ControlNet:
        return fading(super().copy())


def fading(control: comfy.controlnet.ControlNet) -> FadingControl:
    """A copy of a ControlNet in guess mode. Raises ValueError for control types that have no such layers."""
    if type(control) not in (comfy.controlnet.ControlNet, FadingControl):
        raise ValueError(
            f"Guess mode needs a ControlNet; this is a {type(control).__name__}. Switch guess_mode off for it."
        )
    copy = comfy.controlnet.ControlNet.copy(control)
    copy.__class__ = FadingControl
    return copy


def apply(
    positive: list,
    negative: list,
    control_net: ControlNet,
    pose: torch.Tensor,
    strength: float,
    pose_from_level: float = LEVELS,
    *,
    guess_mode: bool = False,
    model: Model | None = None,
    vae: Vae | None = None,
) -> tuple[list, list]:
    """Put the ControlNet on both conditionings; above pose_from_level it sees a black map of the same size.

    pose: IMAGE [B,H,W,3], 0..1. A black pose is not the same as no control: the ControlNet still runs. Control that the
    entries already carry stays in the chain.
    """
    if pose_from_level <= 0:
        raise ValueError("pose_from_level is 0, so the pose would never be shown; 1000 shows it throughout.")
    if strength == 0:
        return positive, negative
    net = fading(control_net) if guess_mode else control_net
    controls = _Controls(net, strength, vae)
    both = []
    for conditioning, wanted in ((positive, True), (negative, not guess_mode)):
        both.append(_with_pose(conditioning, controls, pose, pose_from_level, model) if wanted else conditioning)
    return both[0], both[1]


def _with_pose(conditioning: list, controls: _Controls, pose: torch.Tensor, pose_from_level: float, model) -> list:
    if pose_from_level >= LEVELS:
        return controls.on(conditioning, pose)
    entries = []
    for entry in conditioning:
        for hint, start, stop in ((torch.zeros_like(pose), LEVELS, pose_from_level), (pose, pose_from_level, 0.0)):
            entries += controls.on(overlap([entry], start, stop, model), hint)
    return entries


class _Controls:
    """One copy of the ControlNet for each hint and each chain, so that entries that share a hint also share its
    work.
    """

    def __init__(self, control_net, strength: float, vae):
        self.control_net, self.strength, self.vae, self.made = control_net, strength, vae, {}

    def on(self, conditioning: list, hint: torch.Tensor) -> list:
        return [
            [tensor, {**values, "control": self._copy(hint, values.get("control")), "control_apply_to_uncond": False}]
            for tensor, values in conditioning
        ]

    def _copy(self, hint: torch.Tensor, previous):
        key = (bool(hint.any()), id(previous))
        if key not in self.made:
            extra = {} if self.vae is None else {"vae": self.vae}
            control = self.control_net.copy().set_cond_hint(hint.movedim(-1, 1), self.strength, (0.0, 1.0), **extra)
            control.set_previous_controlnet(previous)
            self.made[key] = control
        return self.made[key]
