"""Prompt stage: a ControlNet by HieraFashDiff's pose schedule."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..craft.prompt.timetable import POSE_DISABLED_RULE, POSE_PUBLISHED
from .prompt import CATEGORY, MODEL_TOOLTIP, level_input

if TYPE_CHECKING:
    from ..host.host_types import Conditioning, ControlNet, Image, Model, Vae


class PoseSchedule:
    TITLE = "Pose Schedule"
    CATEGORY = CATEGORY
    DESCRIPTION = (
        "Applies a ControlNet by HieraFashDiff's pose schedule: the pose map at every noise level, or a "
        "black map while the "
        "concept forms. Works with any ControlNet and with the windows of the Hierarchical Prompt Scheduler."
    )
    SEARCH_ALIASES = ["ControlNet schedule", "pose ControlNet", "OpenPose", "apply ControlNet", "guess mode"]
    RETURN_TYPES = ("CONDITIONING", "CONDITIONING")
    RETURN_NAMES = ("positive", "negative")
    OUTPUT_TOOLTIPS = (
        "Every entry with the ControlNet on it.",
        "The negative, with the ControlNet except in guess mode.",
    )
    FUNCTION = "execute"

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        return {
            "required": {
                "positive": ("CONDITIONING", {"tooltip": "All stages of the prompt."}),
                "negative": ("CONDITIONING", {"tooltip": "The negative prompt."}),
                "control_net": (
                    "CONTROL_NET",
                    {"tooltip": "Any ControlNet; the one from Load HieraFashDiff Checkpoint reads OpenPose pictures."},
                ),
                "pose": ("IMAGE", {"tooltip": "The pose map, colours on black."}),
                "strength": (
                    "FLOAT",
                    {
                        "default": 1.0,
                        "min": 0.0,
                        "max": 10.0,
                        "step": 0.01,
                        "tooltip": "Strength of the ControlNet; 0 leaves it out.",
                    },
                ),
                "pose_from_level": level_input(
                    POSE_PUBLISHED,
                    f"The pose is shown below this noise level, a black map above. {POSE_PUBLISHED:g}: always "
                    f"(published). {POSE_DISABLED_RULE:g}: the rule that the published code holds but "
                    "has switched off.",
                ),
                "guess_mode": (
                    "BOOLEAN",
                    {
                        "default": False,
                        "tooltip": "As the published code: the control fades with depth (0.825 for each layer) and "
                        "the negative gets none.",
                    },
                ),
            },
            "optional": {
                "model": ("MODEL", {"tooltip": MODEL_TOOLTIP}),
                "vae": ("VAE", {"tooltip": "Only for ControlNets that read latents."}),
            },
        }

    def execute(
        self, positive: Conditioning, negative: Conditioning, control_net: ControlNet, pose: Image, strength: float,
        pose_from_level: float, guess_mode: bool, model: Model | None = None, vae: Vae | None = None,
    ) -> tuple:  # fmt: skip
        from ..host.prompt.pose_schedule import apply

        return apply(
            positive,
            negative,
            control_net,
            pose,
            strength,
            pose_from_level,
            guess_mode=guess_mode,
            model=model,
            vae=vae,
        )


NODES = [PoseSchedule]
