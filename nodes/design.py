"""Networks that design: their loaders, and HieraFashDiff's own samplers and pose schedule."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..craft.prompt.timetable import POSE_DISABLED_RULE, POSE_PUBLISHED
from .prompt import CATEGORY, MODEL_TOOLTIP, _problem, level_input

if TYPE_CHECKING:
    from ..host.host_types import Conditioning, ControlNet, Image, Mask, Model, Vae

DRAFT_ENDS = ["published (t = 0)", "clean (sigma 0)"]
EDIT_STARTS = ["by noise level", "published index"]
EDITS = ["A1 length", "A2 sleeve length", "A3 sleeve type", "A4 collar", "A5 hem"]
ETA_TOOLTIP = "Fresh noise in each step; 0 is the published default."
END_TOOLTIP = (
    "Published: the last step ends at timestep 0 and keeps a 3 % share of noise, as the original does. "
    "Clean: no noise is left."
)


class LoadDesigner:
    TITLE = "Load Designer"
    CATEGORY = CATEGORY
    DESCRIPTION = (
        "Loads a small fashion designer as the host's own MODEL, CLIP, VAE and CONTROL_NET: every sampler, LoRA, "
        "preview and ControlNet node works on it. 'studio' is the pack's own: no download, drawn figures only."
    )
    SEARCH_ALIASES = ["studio", "load checkpoint", "text to image", "croquis", "fashion design", "no checkpoint"]
    RETURN_TYPES = ("MODEL", "CLIP", "VAE", "CONTROL_NET")
    RETURN_NAMES = ("model", "clip", "vae", "control_net")
    OUTPUT_TOOLTIPS = (
        "The network that draws, for any sampler.",
        "Its text encoder, for prompts.",
        "Its VAE.",
        "Its pose ControlNet, for Apply ControlNet or Pose Schedule: give it a drawn skeleton.",
    )
    FUNCTION = "execute"

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        from ..host.design.load_designer import designer_files

        return {
            "required": {
                "designer": (
                    designer_files(),
                    {
                        "tooltip": "studio: the pack's own, for 192 x 256 pictures of drawn figures. Others: a folder "
                        "with the files that `python dev.py train designer` writes, in ComfyUI/models/atelier/designer."
                    },
                )
            }
        }

    def execute(self, designer: str) -> tuple:
        from ..host.choices import embedding_folders
        from ..host.design import load_designer
        from ..host.run_control import blocked

        made = load_designer.load(load_designer.resolve(designer), embedding_folders())
        nothing = f"{designer} brings no pose ControlNet; load one with Load ControlNet Model, or do without."
        return (*made[:3], made.control_net or blocked(nothing))


class LoadHieraFashDiffCheckpoint:
    TITLE = "Load HieraFashDiff Checkpoint"
    CATEGORY = CATEGORY
    DESCRIPTION = (
        "Loads HieraFashDiff's or EquiFashion's one-file checkpoint: model, text encoder, VAE and the pose "
        "ControlNet inside it."
    )
    SEARCH_ALIASES = ["hfd", "EquiFashion", "hfd_100epochs", "fashion checkpoint", "pose ControlNet"]
    RETURN_TYPES = ("MODEL", "CLIP", "VAE", "CONTROL_NET")
    RETURN_NAMES = ("model", "clip", "vae", "control_net")
    OUTPUT_TOOLTIPS = (
        "The UNet, always as an eps model (the host may guess v-prediction for such files).",
        "The ViT-H text encoder.",
        "The autoencoder.",
        "The pose ControlNet of the same file, for Pose Schedule or any ControlNet node.",
    )
    FUNCTION = "execute"

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        from ..host.choices import checkpoints

        return {
            "required": {
                "checkpoint": (
                    checkpoints(),
                    {
                        "tooltip": "A file in models/checkpoints. If it is refused as unsafe, convert it: python "
                        "dev.py convert CKPT."
                    },
                ),
            }
        }

    def execute(self, checkpoint: str) -> tuple:
        from ..host.choices import checkpoint_path, embedding_folders
        from ..host.prompt.hierafashdiff_checkpoint import load

        return tuple(load(checkpoint_path(checkpoint), embedding_folders()))


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
        self,
        positive: Conditioning,
        negative: Conditioning,
        control_net: ControlNet,
        pose: Image,
        strength: float,
        pose_from_level: float,
        guess_mode: bool,
        model: Model | None = None,
        vae: Vae | None = None,
    ) -> tuple:
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


class HieraFashDiffDraftSampler:
    TITLE = "HieraFashDiff Draft Sampler"
    CATEGORY = CATEGORY
    DESCRIPTION = (
        "The published draft sampler and its timesteps, for SamplerCustom: reproduces the original step "
        "for step. Other samplers work too."
    )
    SEARCH_ALIASES = ["ddim", "published sampler", "HieraFashDiff", "ddim_hlg"]
    RETURN_TYPES = ("SAMPLER", "SIGMAS")
    RETURN_NAMES = ("sampler", "sigmas")
    OUTPUT_TOOLTIPS = ("The sampler, for SamplerCustom.", "Its timesteps as sigmas.")
    FUNCTION = "execute"

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        return {
            "required": {
                "model": ("MODEL", {"tooltip": "A model with 1000 timesteps (SD1.5, SD2, SDXL)."}),
                "steps": (
                    "INT",
                    {
                        "default": 50,
                        "min": 1,
                        "max": 100,
                        "tooltip": "Steps asked for; the published list is often one longer. A few numbers do not "
                        "exist in it and are refused.",
                    },
                ),
                "eta": ("FLOAT", {"default": 0.0, "min": 0.0, "max": 1.0, "step": 0.01, "tooltip": ETA_TOOLTIP}),
                "end": (DRAFT_ENDS, {"tooltip": END_TOOLTIP}),
            }
        }

    @classmethod
    def VALIDATE_INPUTS(cls, steps: int | None = None) -> bool | str:
        from ..models.hierafashdiff.schedules import ddim_timesteps

        return True if steps is None else _problem(lambda: ddim_timesteps(steps))

    def execute(self, model: Model, steps: int, eta: float, end: str) -> tuple:
        from ..host.prompt import hierafashdiff_sampler as published
        from ..models.hierafashdiff.schedules import ddim_timesteps

        sigmas = published.published_sigmas(model, ddim_timesteps(steps), clean_end=end == DRAFT_ENDS[1])
        return (published.draft_sampler(eta), sigmas)


class HieraFashDiffEditSampler:
    TITLE = "HieraFashDiff Edit Sampler"
    CATEGORY = CATEGORY
    DESCRIPTION = (
        "The published local edit, for SamplerCustom: repaints the mask from the depth that fits the "
        "attribute and keeps the rest. "
        "Connect the picture's own latent, without a noise mask."
    )
    SEARCH_ALIASES = ["local edit", "inpaint attribute", "HieraFashDiff", "ddim_lle", "collar edit", "sleeve edit"]
    RETURN_TYPES = ("SAMPLER", "SIGMAS")
    RETURN_NAMES = ("sampler", "sigmas")
    OUTPUT_TOOLTIPS = ("The edit loop, for SamplerCustom.", "The steps from the attribute's depth down.")
    FUNCTION = "execute"

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        return {
            "required": {
                "model": ("MODEL", {"tooltip": "A model with 1000 timesteps (SD1.5, SD2, SDXL)."}),
                "mask": (
                    "MASK",
                    {"tooltip": "White = repaint. Made binary at 0.5 and taken nearest to the latent, as published."},
                ),
                "attribute": (
                    EDITS,
                    {
                        "tooltip": "Larger parts begin deeper in the noise: length 911, sleeve length 831, sleeve "
                        "type 751, collar 671, hem 591."
                    },
                ),
                "steps": (
                    "INT",
                    {
                        "default": 100,
                        "min": 1,
                        "max": 100,
                        "tooltip": "Steps of the whole run; an edit skips the first ones.",
                    },
                ),
                "start": (
                    EDIT_STARTS,
                    {
                        "tooltip": "By noise level: the same depth at any step count. Published index: skip 8, 16, "
                        "24, 32 or 40 steps; needs more than 40."
                    },
                ),
                "eta": ("FLOAT", {"default": 0.0, "min": 0.0, "max": 1.0, "step": 0.01, "tooltip": ETA_TOOLTIP}),
                "end": (
                    [*DRAFT_ENDS[::-1]],
                    {
                        "tooltip": "Clean: the latent outside the mask is the picture's own. Published: it keeps the "
                        "noise of timestep 1."
                    },
                ),
            }
        }

    @classmethod
    def VALIDATE_INPUTS(
        cls, attribute: str | None = None, steps: int | None = None, start: str | None = None
    ) -> bool | str:
        if None in (attribute, steps, start):  # linked: checked when it arrives
            return True
        return _problem(lambda: _edit_timesteps(attribute, steps, start))

    def execute(self, model: Model, mask: Mask, attribute: str, steps: int, start: str, eta: float, end: str) -> tuple:
        from ..host.prompt import hierafashdiff_sampler as published

        sigmas = published.published_sigmas(
            model, _edit_timesteps(attribute, steps, start), clean_end=end == DRAFT_ENDS[1]
        )
        return (published.edit_sampler(mask, eta), sigmas)


def _edit_timesteps(attribute, steps, start):
    from ..models.hierafashdiff.schedules import edit_timesteps

    if start not in EDIT_STARTS:
        raise ValueError(f"start is {start!r}; expected one of {', '.join(EDIT_STARTS)}.")
    return edit_timesteps(attribute.split(" ")[0], steps, by_index=start == EDIT_STARTS[1])


NODES = [LoadDesigner, LoadHieraFashDiffCheckpoint, PoseSchedule, HieraFashDiffDraftSampler, HieraFashDiffEditSampler]
