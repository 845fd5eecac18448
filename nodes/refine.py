"""Refine stage: drafts become finished pictures, and drafts are ranked by how well they say what was asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..craft.text_door import checked_items
from . import widgets
from .text_inputs import takes_text

if TYPE_CHECKING:
    from ..craft.body.found_body import BodyParts
    from ..host.host_types import Conditioning, Image, Latent, Mask, Model, Vae
    from ..host.wardrobe.fashion_encoder import FashionEncoder

CATEGORY = "Atelier/Refine"


@takes_text("pick")
class Refiner:
    TITLE = "Refiner"
    CATEGORY = CATEGORY
    DESCRIPTION = (
        "Finishes drafts: unfinished latents go on where they stopped, pictures are enlarged, "
        "noised anew and redrawn. Large "
        "pictures are sampled in blended tiles; a protected mask stays bit for bit."
    )
    SEARCH_ALIASES = ["upscale", "hires fix", "img2img", "continue sampling", "detail", "tiled diffusion"]
    RETURN_TYPES = ("LATENT", "IMAGE")
    RETURN_NAMES = ("latent", "image")
    OUTPUT_TOOLTIPS = ("The finished latents.", "The finished pictures.")
    FUNCTION = "execute"

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        from ..host.choices import samplers, schedulers

        return {
            "required": {
                "model": ("MODEL", {"tooltip": "The model that draws."}),
                "vae": ("VAE", {"tooltip": "Its VAE."}),
                "positive": (
                    "CONDITIONING",
                    {"tooltip": "What to draw: one prompt, or all stages of the Hierarchical Prompt Scheduler."},
                ),
                "negative": ("CONDITIONING", {"tooltip": "What to avoid."}),
                "pick": (
                    "STRING",
                    {"default": "all", "tooltip": "Which drafts, numbered from 1: `2`, `1, 4`, `1-3` or `all`."},
                ),
                "scale": (
                    "FLOAT",
                    {
                        "default": 1.0,
                        "min": 0.25,
                        "max": 8.0,
                        "step": 0.05,
                        "tooltip": "Size of the result relative to the draft.",
                    },
                ),
                "denoise": (
                    "FLOAT",
                    {
                        "default": 0.5,
                        "min": 0.01,
                        "max": 1.0,
                        "step": 0.01,
                        "tooltip": "How much of a finished draft is redrawn. An "
                        "unfinished latent knows its "
                        "own noise; there this is not used.",
                    },
                ),
                "steps": widgets.steps("Steps. For an unfinished latent: of the whole way, of which the rest is run."),
                "cfg": widgets.cfg("How closely the text is followed."),
                "sampler": (samplers(), {"tooltip": "The host's sampler."}),
                "scheduler": (schedulers(), {"tooltip": "The host's noise schedule."}),
                "seed": widgets.seed("New noise, where noise is added."),
                "sigma": (
                    "FLOAT",
                    {
                        "default": -1.0,
                        "min": -1.0,
                        "max": 1000.0,
                        "step": 0.001,
                        "round": False,
                        "tooltip": "Noise that is in the latent. -1: the latent says it itself; 0: it is finished.",
                    },
                ),
                "tile": (
                    "INT",
                    {
                        "default": 1024,
                        "min": 0,
                        "max": 8192,
                        "step": 64,
                        "tooltip": "Pictures with a longer side are sampled in tiles of this size. 0: never.",
                    },
                ),
                "overlap": (
                    "INT",
                    {
                        "default": 128,
                        "min": 0,
                        "max": 2048,
                        "step": 8,
                        "tooltip": "How far tiles share their borders; more is smoother and slower.",
                    },
                ),
                "feather": widgets.feather("Over how many pixels beside the protected mask the change fades in.", 16),
            },
            "optional": {
                "latent": (
                    "LATENT",
                    {"tooltip": "Drafts as latents: unfinished ones of the Ideation Sampler, or finished ones."},
                ),
                "images": ("IMAGE", {"tooltip": "Or drafts as pictures."}),
                "protect": (
                    "MASK",
                    {"tooltip": "What must stay as it is (face, hands): bit for bit the draft's own pixels."},
                ),
            },
        }

    def execute(
        self,
        model: Model,
        vae: Vae,
        positive: Conditioning,
        negative: Conditioning,
        pick: str,
        scale: float,
        denoise: float,
        steps: int,
        cfg: float,
        sampler: str,
        scheduler: str,
        seed: int,
        sigma: float,
        tile: int,
        overlap: int,
        feather: int,
        latent: Latent | None = None,
        images: Image | None = None,
        protect: Mask | None = None,
    ) -> tuple:
        from ..host.design import refine

        return refine.refine(
            model,
            vae,
            positive,
            negative,
            latent=latent,
            images=images,
            pick=pick,
            scale=scale,
            sigma=sigma,
            run=refine.Run(seed, steps, cfg, sampler, scheduler, denoise),
            tiles=refine.Tiles(tile, overlap),
            protect=protect,
            feather=feather,
        )


@takes_text("attributes")
class ConsensusScore:
    TITLE = "Consensus Score"
    CATEGORY = CATEGORY
    DESCRIPTION = (
        "Ranks drafts: does every asked attribute have a part of the picture that shows it, and does the whole agree?"
    )
    SEARCH_ALIASES = ["rank", "CLIP score", "best of batch", "semantic consensus", "EquiFashion", "sort images"]
    RETURN_TYPES = ("IMAGE", "STRING", "STRING")
    RETURN_NAMES = ("sorted", "table", "order")
    OUTPUT_TOOLTIPS = (
        "The pictures from best to worst.",
        "Scores, and which part answered for which attribute.",
        "The drafts' numbers from best to worst, as Draft Board and Refiner take them.",
    )
    FUNCTION = "execute"

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        return {
            "required": {
                "images": ("IMAGE", {"tooltip": "The drafts."}),
                "encoder": (
                    "ATELIER_ENCODER",
                    {
                        "tooltip": "From Load Fashion Encoder. One that "
                        "reads compares with words; one that "
                        "only sees needs references."
                    },
                ),
                "attributes": (
                    "STRING",
                    {
                        "multiline": True,
                        "default": "",
                        "tooltip": "What is asked for, one a line: `red collar`. Needs an encoder that reads.",
                    },
                ),
            },
            "optional": {
                "references": ("IMAGE", {"tooltip": "Pictures of what is asked for, in place of words."}),
                "parts": ("ATELIER_PARTS", {"tooltip": "Body or garment parts of these pictures, from Detect Body."}),
                "masks": (
                    "MASK",
                    {
                        "tooltip": "Or your own part masks, the same for every picture (parts of Detect Body are each"
                        " picture's own). Without parts and masks the picture is cut into thirds."
                    },
                ),
            },
        }

    def execute(
        self,
        images: Image,
        encoder: FashionEncoder,
        attributes: str,
        references: Image | None = None,
        parts: BodyParts | None = None,
        masks: Mask | None = None,
    ) -> tuple:
        from ..host.design import consensus_score

        asked = [line.strip() for line in attributes.splitlines() if line.strip()]
        checked_items(asked, "attributes", "attributes")
        found, part_names, names = consensus_score.score(images, encoder, asked, references, parts, masks)
        text, order = consensus_score.table(found, part_names, names, encoder.name)
        return (images[order], text, ", ".join(str(i + 1) for i in order))


class Compare:
    TITLE = "Compare"
    CATEGORY = CATEGORY
    DESCRIPTION = (
        "Shows before and after in the node: side by side, as one divided picture, or what changed (black: nothing)."
    )
    SEARCH_ALIASES = ["before after", "image compare", "difference", "split view"]
    RETURN_TYPES = ("IMAGE",)
    RETURN_NAMES = ("image",)
    OUTPUT_TOOLTIPS = ("The comparison, to save or show elsewhere.",)
    OUTPUT_NODE = True
    FUNCTION = "execute"

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        return {
            "required": {
                "before": ("IMAGE", {"tooltip": "One picture, or a batch."}),
                "after": ("IMAGE", {"tooltip": "One picture, or a batch."}),
                "layout": (
                    ["side by side", "split", "difference"],
                    {"tooltip": "difference: brightness is how much a pixel changed, ten times enlarged."},
                ),
                "position": (
                    "FLOAT",
                    {
                        "default": 0.5,
                        "min": 0.0,
                        "max": 1.0,
                        "step": 0.01,
                        "tooltip": "split: where the picture is divided, as a share of its width.",
                    },
                ),
            }
        }

    def execute(self, before: Image, after: Image, layout: str, position: float) -> dict:
        from ..host.design.comparison import compare
        from ..host.images import preview

        image = compare(before, after, layout, position)
        return {"ui": {"images": preview(image, "compare")}, "result": (image,)}


NODES = [Refiner, ConsensusScore, Compare]
