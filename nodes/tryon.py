"""Try-on stage: the model, the whole stage in one node, and the sampling of FastFit's own pipeline."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import widgets
from .dress import CATEGORY, MODEL_TIP, dress_widgets

if TYPE_CHECKING:
    from ..host.host_types import Model, Vae

LICENCE = (
    "FastFit's weights are its authors' and for non-commercial use only (FastFit Non-Commercial License v1.0.0): bring "
    "your own copy. The pack ships none of them; 'studio' is the pack's own small preview model (Apache-2.0)."
)
STORAGE = {
    "host's choice": None, "fp32": "float32", "bf16": "bfloat16", "fp16": "float16", "fp8_e4m3fn": "float8_e4m3fn",
    "fp8_e5m2": "float8_e5m2",
}  # fmt: skip


class LoadTryOnModel:
    TITLE = "Load Try-On Model"
    CATEGORY = CATEGORY
    DESCRIPTION = (
        "Loads a FastFit try-on model as the host's own MODEL and VAE: samplers, LoRAs, previews and Cancel work on "
        "it. " + LICENCE
    )
    SEARCH_ALIASES = ["virtual try-on", "FastFit", "vton", "clothes", "outfit", "load checkpoint"]
    RETURN_TYPES = ("MODEL", "VAE")
    RETURN_NAMES = ("model", "vae")
    OUTPUT_TOOLTIPS = ("The try-on model, for Encode Garments, Dress and any sampler.", "Its VAE.")
    FUNCTION = "execute"

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        from ..host.tryon.load_tryon import tryon_files

        return {
            "required": {
                "model_name": (
                    tryon_files(),
                    {
                        "tooltip": "From ComfyUI/models/atelier/tryon: a folder with unet, vae and scheduler, or one "
                        ".safetensors file. " + LICENCE
                    },
                ),
                "weights": (
                    list(STORAGE),
                    {
                        "tooltip": "How the weights are kept in memory. fp8 halves them at a small loss; the host's "
                        "choice is right for most."
                    },
                ),
            },
            "optional": {
                "vae": ("VAE", {"tooltip": "Only for a file that brings no VAE: FastFit uses Stable Diffusion 1.5's."})
            },
        }

    def execute(self, model_name: str, weights: str, vae: Vae | None = None) -> tuple:
        import torch

        from ..host.tryon import load_tryon, tryon_defaults

        path, dtype = load_tryon.resolve(model_name), STORAGE[weights]
        model, vae = load_tryon.load(path, vae, None if dtype is None else getattr(torch, dtype))
        tryon_defaults.attach(model, tryon_defaults.read(path))
        return (model, vae)


class TryOn:
    TITLE = "Try On"
    CATEGORY = CATEGORY
    DESCRIPTION = (
        "Dresses a person in an outfit, in one node: loads, encodes, dresses, samples and puts the result back. "
        "Inside are the other try-on nodes, so a new seed or person reads no garment again. " + LICENCE
    )
    SEARCH_ALIASES = ["virtual try-on", "FastFit", "vton", "dress up", "clothes swap", "change outfit"]
    RETURN_TYPES = ("IMAGE",)
    RETURN_NAMES = ("image",)
    OUTPUT_TOOLTIPS = ("The dressed person; outside the mask every pixel is the input's own.",)
    FUNCTION = "execute"

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        from ..host.choices import samplers, schedulers
        from ..host.tryon.load_tryon import tryon_files

        return {
            "required": {
                "person": ("IMAGE", {"rawLink": True, "tooltip": "One person, or a batch of them."}),
                "outfit": ("ATELIER_OUTFIT", {"rawLink": True, "tooltip": "From a chain of Garment nodes."}),
                "model_name": (tryon_files(), {"tooltip": "From ComfyUI/models/atelier/tryon. " + LICENCE}),
                "seed": widgets.seed("Another seed, another picture."),
                "steps": widgets.steps("0: what the model's card says (FastFit 50, studio 1).", 0, least=0),
                "cfg": widgets.cfg(
                    "How strongly the garments are followed. 0: what the model's card says (FastFit"
                    " 2.5, studio 1.25); 1: no guidance, half the time.",
                    0.0,
                    step=0.05,
                ),
                "sampler_name": (
                    [*samplers(), "published"],
                    {"default": "euler", "tooltip": "published: FastFit's own stochastic steps with its own schedule."},
                ),
                "scheduler": (
                    schedulers(),
                    {
                        "default": "normal",
                        "tooltip": "How noise levels are spread over the steps; not used by 'published'.",
                    },
                ),
                **dress_widgets(),
                "seam_colour": widgets.seam_colour(
                    "Move the new colours so that they meet the picture's along the mask's edge. 0:"
                    " leave them as they are."
                ),
            },
            "optional": {
                "mask": (
                    "MASK",
                    {
                        "rawLink": True,
                        "tooltip": "What is repainted: the old garment with room around it. Without it, Agnostic Mask "
                        "makes one from the pose's joints, or from what Detect Body finds.",
                    },
                ),
                "pose": (
                    "IMAGE,POSE_KEYPOINT",
                    {
                        "rawLink": True,
                        "tooltip": "The pose to keep: keypoints, or a drawn OpenPose skeleton. Optional.",
                    },
                ),
                "model": (
                    "MODEL",
                    {
                        "rawLink": True,
                        "tooltip": "Instead of model_name: a try-on MODEL with LoRAs or patches. Connect vae, steps"
                        " and cfg too.",
                    },
                ),
                "vae": ("VAE", {"rawLink": True, "tooltip": "With model: its VAE."}),
            },
            "hidden": {"prompt": "DYNPROMPT"},
        }

    def execute(self, model_name: str, steps: int, cfg: float, prompt: Any, **inputs: Any) -> dict:
        from ..host.tryon import load_tryon, tryon_defaults, tryon_graph

        links = tryon_graph.checked_links(inputs, steps, cfg)
        links["joints"] = tryon_graph.joints_link(links.get("pose"), prompt)
        trained = None if "model" in links else tryon_defaults.read(load_tryon.resolve(model_name))
        settings = {**inputs, "model_name": model_name}
        return tryon_graph.tryon_graph(links, settings, steps or trained.steps, cfg or trained.cfg)


class PublishedSampler:
    TITLE = "Published Sampler (FastFit)"
    CATEGORY = CATEGORY
    DESCRIPTION = "The stochastic DDPM steps of FastFit's own pipeline, as a SAMPLER. Use it with Published Schedule."
    SEARCH_ALIASES = ["ddpm", "FastFit sampler"]
    RETURN_TYPES = ("SAMPLER",)
    RETURN_NAMES = ("sampler",)
    OUTPUT_TOOLTIPS = ("For SamplerCustom or SamplerCustomAdvanced.",)
    FUNCTION = "execute"

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        return {"required": {}}

    def execute(self) -> tuple:
        from ..host.tryon import published_ddpm

        return (published_ddpm.sampler(),)


class PublishedSchedule:
    TITLE = "Published Schedule (FastFit)"
    CATEGORY = CATEGORY
    DESCRIPTION = "The noise levels of FastFit's own run (DDPM, leading timesteps with an offset of 1), as SIGMAS."
    SEARCH_ALIASES = ["ddpm schedule", "FastFit schedule", "sigmas"]
    RETURN_TYPES = ("SIGMAS",)
    RETURN_NAMES = ("sigmas",)
    OUTPUT_TOOLTIPS = ("For SamplerCustom or SamplerCustomAdvanced.",)
    FUNCTION = "execute"

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        return {
            "required": {
                "model": ("MODEL", {"tooltip": MODEL_TIP}),
                "steps": widgets.steps("Published: 50; the authors' demo uses 30.", 50),
            }
        }

    def execute(self, model: Model, steps: int) -> tuple:
        from ..host.tryon import published_ddpm

        return (published_ddpm.sigmas(model, steps),)


NODES = [LoadTryOnModel, TryOn, PublishedSampler, PublishedSchedule]
