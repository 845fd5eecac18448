"""Edit stage: change one part of a picture, and hand an outfit to the host's own edit models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import widgets

if TYPE_CHECKING:
    from ..host.host_types import Conditioning, Image, Latent, Mask, Model, Vae
    from .sockets import Outfit

CATEGORY = "Atelier/Edit"
STARTS = {
    "A1 length (911)": ("A1", 911.0), "A2 sleeve length (831)": ("A2", 831.0), "A3 sleeve type (751)": ("A3", 751.0),
    "A4 collar (671)": ("A4", 671.0), "A5 hem (591)": ("A5", 591.0), "free": ("A5", None),
}  # fmt: skip
BLENDINGS = ("exact background", "published (HieraFashDiff)")


class EditPart:
    TITLE = "Edit Part"
    CATEGORY = CATEGORY
    DESCRIPTION = (
        "Repaints the masked part with any checkpoint, from the depth that the change needs. Pixels outside the mask"
        " stay the input's own, bit for bit."
    )
    SEARCH_ALIASES = [
        "inpaint",
        "local edit",
        "blended latent diffusion",
        "change sleeve",
        "change collar",
        "HieraFashDiff edit",
        "differential diffusion",
    ]
    RETURN_TYPES = ("LATENT", "IMAGE", "STRING")
    RETURN_NAMES = ("latent", "image", "report")
    OUTPUT_TOOLTIPS = (
        "For the next Edit Part: parts that did not change are not encoded and decoded again.",
        "The edited picture.",
        "Which noise levels were sampled.",
    )
    FUNCTION = "execute"

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        from ..host.choices import samplers, schedulers

        return {
            "required": {
                "model": (
                    "MODEL",
                    {"tooltip": "Any checkpoint; inpainting checkpoints get the masked picture as well."},
                ),
                "positive": (
                    "CONDITIONING",
                    {
                        "tooltip": (
                            "The whole new description, not only the change. Scheduled prompts are taken from the start"
                            " level on."
                        )
                    },
                ),
                "negative": ("CONDITIONING", {"tooltip": "What is not wanted."}),
                "vae": ("VAE", {"tooltip": "The checkpoint's VAE."}),
                "image": ("IMAGE", {"tooltip": "The picture to change."}),
                "mask": ("MASK", {"tooltip": "1 = change; from Body-Part Mask Editor or painted."}),
                "start": (
                    list(STARTS),
                    {
                        "tooltip": (
                            "How deep the change goes: long shapes need more noise than hems. The number is the noise"
                            " level."
                        )
                    },
                ),
                "start_level": (
                    "FLOAT",
                    {
                        "default": 700.0,
                        "min": 1.0,
                        "max": 1000.0,
                        "step": 1.0,
                        "tooltip": "With 'free': the noise level to start from; 1000 repaints from scratch.",
                    },
                ),
                "seed": widgets.seed("Another seed, another result inside the mask."),
                "steps": widgets.steps("Steps of the whole schedule; the ones above the start level are left out.", 30),
                "cfg": widgets.cfg("How strongly the prompt is followed.", 7.0),
                "sampler_name": (samplers(), {"default": "euler", "tooltip": "The host's samplers."}),
                "scheduler": (
                    schedulers(),
                    {"default": "normal", "tooltip": "How noise levels are spread over the steps."},
                ),
                "grow": widgets.grow("Pixels to widen the mask by first."),
                "feather": widgets.feather("Pixels inside the mask over which the new picture fades in."),
                "soft_mask": (
                    "BOOLEAN",
                    {
                        "default": False,
                        "tooltip": "Grey values of the mask say how much may change (Differential Diffusion).",
                    },
                ),
                "seam_colour": widgets.seam_colour(
                    "Move the new colours so that they meet the picture's along the mask's edge."
                ),
                "variants": (
                    "INT",
                    {"default": 1, "min": 1, "max": 64, "tooltip": "How many results for each picture."},
                ),
                "blending": (
                    list(BLENDINGS),
                    {
                        "tooltip": (
                            "exact background: the rest stays as it is at every step. published: HieraFashDiff's loop,"
                            " which re-noises it (parity)."
                        )
                    },
                ),
            },
            "optional": {
                "latent": ("LATENT", {"tooltip": "The latent of the Edit Part before this one, with its image."}),
            },
        }

    @classmethod
    def VALIDATE_INPUTS(cls, start: str = "free", blending: str = BLENDINGS[0]) -> bool | str:
        if start not in STARTS or blending not in BLENDINGS:
            return f"start is {start!r} and blending {blending!r}; choose from the lists."
        if blending == BLENDINGS[1] and STARTS[start][1] is None:
            return "The published blending knows its own five starts only; choose A1 to A5, or the exact background."
        return True

    def execute(
        self,
        model: Model,
        positive: Conditioning,
        negative: Conditioning,
        vae: Vae,
        image: Image,
        mask: Mask,
        start: str,
        start_level: float,
        soft_mask: bool,
        latent: Latent | None = None,
        **settings: Any,
    ) -> dict:
        from ..host.design.edit_sampler import EditSettings, edit_part

        attribute, level = STARTS[start]
        chosen = EditSettings(
            start=start_level if level is None else level, attribute=attribute, soft=soft_mask, **settings
        )
        edited = edit_part(model, vae, positive, negative, image, mask, chosen, latent)
        report = (
            f"{len(edited.levels)} of {chosen.steps} steps, noise levels {edited.levels[0]:.0f} to"
            f" {edited.levels[-1]:.0f}"
        )
        return {"ui": {"text": [report]}, "result": ({"samples": edited.latent}, edited.picture, report)}


class OutfitToReferences:
    TITLE = "Outfit to References"
    CATEGORY = CATEGORY
    DESCRIPTION = (
        "Hands an outfit to edit models (FLUX Kontext, FLUX.2, Qwen-Image-Edit): as reference latents in the prompt, or"
        " as one labelled sheet."
    )
    SEARCH_ALIASES = [
        "kontext",
        "qwen image edit",
        "reference latent",
        "edit model",
        "outfit sheet",
        "try-on with edit model",
    ]
    RETURN_TYPES = ("CONDITIONING", "IMAGE", "STRING")
    RETURN_NAMES = ("conditioning", "sheet", "words")
    OUTPUT_TOOLTIPS = (
        "The conditioning with the references; as it came when no VAE is connected.",
        "All garments with their names on one sheet, for image inputs of prompt nodes.",
        "Which reference is what, to be said in the prompt.",
    )
    FUNCTION = "execute"

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        return {
            "required": {
                "outfit": ("ATELIER_OUTFIT", {"tooltip": "From a chain of Garment nodes."}),
                "way": (
                    list(WAYS),
                    {
                        "tooltip": (
                            "A reference for each garment, or all of them on one labelled sheet (few models hold many"
                            " references apart)."
                        )
                    },
                ),
                "megapixels": (
                    "FLOAT",
                    {
                        "default": 1.0,
                        "min": 0.0,
                        "max": 16.0,
                        "step": 0.05,
                        "tooltip": "Size of each reference; edit models were trained at about one. 0: as it is.",
                    },
                ),
            },
            "optional": {
                "conditioning": ("CONDITIONING", {"tooltip": "The prompt that gets the references."}),
                "vae": ("VAE", {"tooltip": "The edit model's VAE."}),
                "person": ("IMAGE", {"tooltip": "The person to dress, as the first reference."}),
            },
        }

    def execute(
        self,
        outfit: Outfit,
        way: str,
        megapixels: float,
        conditioning: Conditioning | None = None,
        vae: Vae | None = None,
        person: Image | None = None,
    ) -> dict:
        from ..host.tryon.outfit_references import references, with_latents

        found = references(outfit, way, megapixels, person)
        if (conditioning is None) != (vae is None):
            raise ValueError(
                "Reference latents need both the conditioning and the VAE; connect both, or use the sheet alone."
            )
        given = with_latents(conditioning, found.pictures, vae) if vae is not None else []
        return {"ui": {"text": [found.words]}, "result": (given, found.sheet, found.words)}


WAYS = ("a picture for each garment", "one labelled sheet")
NODES = [EditPart, OutfitToReferences]
