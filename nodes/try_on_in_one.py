"""Try On: the whole try-on stage in one node."""

from __future__ import annotations

from typing import Any

from .tryon import CATEGORY, LICENCE, dress_widgets


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
        from comfy.samplers import SAMPLER_NAMES, SCHEDULER_NAMES

        from ..host.tryon.load_tryon import tryon_files

        return {
            "required": {
                "person": ("IMAGE", {"rawLink": True, "tooltip": "One person, or a batch of them."}),
                "outfit": ("ATELIER_OUTFIT", {"rawLink": True, "tooltip": "From a chain of Garment nodes."}),
                "model_name": (tryon_files(), {"tooltip": "From ComfyUI/models/atelier/tryon. " + LICENCE}),
                "seed": (
                    "INT",
                    {
                        "default": 0,
                        "min": 0,
                        "max": 0xFFFFFFFFFFFFFFFF,
                        "control_after_generate": True,
                        "tooltip": "Another seed, another picture.",
                    },
                ),
                "steps": (
                    "INT",
                    {
                        "default": 0,
                        "min": 0,
                        "max": 1000,
                        "tooltip": "0: what the model's card says (FastFit 50, studio 1).",
                    },
                ),
                "cfg": (
                    "FLOAT",
                    {
                        "default": 0.0,
                        "min": 0.0,
                        "max": 30.0,
                        "step": 0.05,
                        "tooltip": "How strongly the garments are followed. 0: what the model's card says (FastFit"
                        " 2.5, studio 1.25); 1: no guidance, half the time.",
                    },
                ),
                "sampler_name": (
                    [*SAMPLER_NAMES, "published"],
                    {"default": "euler", "tooltip": "published: FastFit's own stochastic steps with its own schedule."},
                ),
                "scheduler": (
                    list(SCHEDULER_NAMES),
                    {
                        "default": "normal",
                        "tooltip": "How noise levels are spread over the steps; not used by 'published'.",
                    },
                ),
                **dress_widgets(),
                "seam_colour": (
                    "FLOAT",
                    {
                        "default": 0.0,
                        "min": 0.0,
                        "max": 1.0,
                        "step": 0.05,
                        "tooltip": "Move the new colours so that they meet the picture's along the mask's edge. 0:"
                        " leave them as they are.",
                    },
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
        from ..host.tryon import load_tryon, tryon_defaults
        from . import tryon_graph

        links = tryon_graph.checked_links(inputs, steps, cfg)
        links["joints"] = tryon_graph.joints_link(links.get("pose"), prompt)
        trained = None if "model" in links else tryon_defaults.read(load_tryon.resolve(model_name))
        settings = {**inputs, "model_name": model_name}
        return tryon_graph.tryon_graph(links, settings, steps or trained.steps, cfg or trained.cfg)


NODES = [TryOn]
