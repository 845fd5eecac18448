"""The published HieraFashDiff system: its checkpoint in one loader, and its own samplers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .prompt import CATEGORY, _problem

if TYPE_CHECKING:
    from ..host.host_types import Mask, Model

DRAFT_ENDS = ["published (t = 0)", "clean (sigma 0)"]
EDIT_STARTS = ["by noise level", "published index"]
EDITS = ["A1 length", "A2 sleeve length", "A3 sleeve type", "A4 collar", "A5 hem"]
ETA_TOOLTIP = "Fresh noise in each step; 0 is the published default."
END_TOOLTIP = (
    "Published: the last step ends at timestep 0 and keeps a 3 % share of noise, as the original does. "
    "Clean: no noise is left."
)


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
        import folder_paths

        files = folder_paths.get_filename_list("checkpoints")
        return {
            "required": {
                "checkpoint": (
                    files,
                    {
                        "tooltip": "A file in models/checkpoints. If it is refused as unsafe, convert it: python "
                        "dev.py convert CKPT."
                    },
                ),
            }
        }

    def execute(self, checkpoint: str) -> tuple:
        import folder_paths

        from ..host.prompt.hierafashdiff_checkpoint import load

        path = folder_paths.get_full_path_or_raise("checkpoints", checkpoint)
        embeddings = folder_paths.get_folder_paths("embeddings")
        return tuple(load(path, embeddings))


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


NODES = [LoadHieraFashDiffCheckpoint, HieraFashDiffDraftSampler, HieraFashDiffEditSampler]
