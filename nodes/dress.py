"""Try-on stage, part by part: put an outfit together, encode it once, dress a person, put the result back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..craft.garments import ID_OF_LABEL, LABELS
from . import widgets

if TYPE_CHECKING:
    from ..host.host_types import Image, Mask, Model, PoseKeypoint, Vae
    from ..host.tryon.encoded_garment import GarmentKV
    from ..host.tryon.tryon_defaults import Trained
    from .sockets import Outfit, Stitch

CATEGORY = "Atelier/Try-on"
FITS = ["pad", "crop", "stretch"]
FRAMINGS = ["as trained", "around the mask", "whole picture"]
SIZES = ["as trained", "keep", "custom"]
WORN = ["together", "one outfit a person"]
MODEL_TIP = "The try-on MODEL, with LoRAs or patches if you like."
VAE_TIP = "The VAE that came with the try-on model."


def _pixels(default: int, tooltip: str, step: int = 8, high: int = 16384):
    return ("INT", {"default": default, "min": 0, "max": high, "step": step, "tooltip": tooltip})


class Garment:
    TITLE = "Garment"
    CATEGORY = CATEGORY
    DESCRIPTION = "One garment of an outfit. Chain several: connect the outfit of one Garment to the next."
    SEARCH_ALIASES = ["clothes", "dress", "shirt", "trousers", "shoes", "bag", "outfit", "reference"]
    RETURN_TYPES = ("ATELIER_OUTFIT",)
    RETURN_NAMES = ("outfit",)
    OUTPUT_TOOLTIPS = ("All garments up to this one, for the next Garment, Encode Garments or Try On.",)
    FUNCTION = "execute"

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        return {
            "required": {
                "image": (
                    "IMAGE",
                    {
                        "tooltip": "The garment, best as a flat-lay on white. Several pictures: picture 1 is worn by "
                        "person 1, picture 2 by person 2."
                    },
                ),
                "category": (
                    list(LABELS),
                    {"tooltip": "What it is. 'dress' stands for everything in one piece, jumpsuits too."},
                ),
                "fit": (
                    FITS,
                    {
                        "tooltip": "pad: the whole garment on a white canvas. crop: the centre in the right"
                        " proportions. stretch: proportions are ignored."
                    },
                ),
                "width": _pixels(
                    0,
                    "Width of the reference picture. 0: what the model was trained on (384 for "
                    "FastFit). More shows finer patterns and costs memory.",
                ),
                "height": _pixels(
                    0, "Height of the reference picture. 0: what the model was trained on (512 for FastFit)."
                ),
            },
            "optional": {
                "mask": (
                    "MASK",
                    {
                        "tooltip": "Where the garment is; the rest becomes white. Without it the picture is taken as"
                        " it is."
                    },
                ),
                "outfit": ("ATELIER_OUTFIT", {"tooltip": "Garments in front of this one."}),
                "mask_marks": (
                    ["garment", "background"],
                    {
                        "tooltip": "What the mask marks. Load Image's mask marks what is transparent: choose"
                        " background for it."
                    },
                ),
            },
        }

    def execute(
        self,
        image: Image,
        category: str,
        fit: str,
        width: int,
        height: int,
        mask: Mask | None = None,
        outfit: Outfit | None = None,
        mask_marks: str = "garment",
    ) -> tuple:
        from ..host.tryon.garment_images import prepared
        from .sockets import Garment, Outfit

        category = ID_OF_LABEL[category]
        picture, content = prepared(image, mask, mask_marks == "background", category, fit, (width, height))
        before = outfit.garments if outfit is not None else ()
        return (Outfit((*before, Garment(picture, category, fit, (width, height), content))),)


class EncodeGarments:
    TITLE = "Encode Garments"
    CATEGORY = CATEGORY
    DESCRIPTION = (
        "Reads every garment once. Change person, pose, seed or steps and no garment is read again; change one "
        "garment and "
        "only that one is. The node shows how much memory the result takes."
    )
    SEARCH_ALIASES = ["garment cache", "reference cache", "kv cache", "FastFit", "outfit"]
    RETURN_TYPES = ("ATELIER_GARMENT_KV",)
    RETURN_NAMES = ("garments",)
    OUTPUT_TOOLTIPS = ("The outfit as the model reads it, for any number of Dress nodes.",)
    FUNCTION = "execute"

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        return {
            "required": {
                "model": ("MODEL", {"rawLink": True, "tooltip": MODEL_TIP + " The outfit is read with these weights."}),
                "vae": ("VAE", {"rawLink": True, "tooltip": VAE_TIP}),
                "outfit": ("ATELIER_OUTFIT", {"tooltip": "From a chain of Garment nodes."}),
                "for_guidance": (
                    "BOOLEAN",
                    {
                        "default": True,
                        "tooltip": "Also prepare what cfg above 1 compares with: one more pass a category, kept for "
                        "good. Switch off if you sample at cfg 1.",
                    },
                ),
            }
        }

    def execute(self, model: Model, vae: Vae, outfit: Outfit, for_guidance: bool) -> dict:
        from ..host.tryon.encode_graph import encode_graph

        return encode_graph(model, vae, outfit, for_guidance)


class EncodeOneGarment:
    TITLE = "Encode One Garment"
    CATEGORY = CATEGORY
    DESCRIPTION = (
        "Reads a single garment. Encode Garments is made of these; on its own it goes into Combine Garments, to give "
        "every person of a batch another garment."
    )
    SEARCH_ALIASES = ["garment cache", "reference", "single garment"]
    RETURN_TYPES = ("ATELIER_GARMENT_KV",)
    RETURN_NAMES = ("garments",)
    OUTPUT_TOOLTIPS = ("The garment as the model reads it, for Combine Garments or Dress.",)
    FUNCTION = "execute"

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        return {
            "required": {
                "model": ("MODEL", {"tooltip": MODEL_TIP + " The garment is read with these weights."}),
                "vae": ("VAE", {"tooltip": VAE_TIP}),
                "garment": ("ATELIER_OUTFIT", {"tooltip": "From one Garment node."}),
            }
        }

    def execute(self, model: Model, vae: Vae, garment: Outfit) -> dict:
        from ..host.tryon import encode_graph

        kv = encode_graph.encode_part(model, vae, encode_graph.single(garment))
        return {"ui": {"text": [encode_graph.size_text(kv)]}, "result": (kv,)}


class CombineGarments:
    TITLE = "Combine Garments"
    CATEGORY = CATEGORY
    DESCRIPTION = (
        "Puts encoded garments together: into one outfit, or into one outfit for each person of a batch. Nothing is "
        "computed again."
    )
    SEARCH_ALIASES = ["merge outfits", "batch of outfits", "outfit per person"]
    RETURN_TYPES = ("ATELIER_GARMENT_KV",)
    RETURN_NAMES = ("garments",)
    OUTPUT_TOOLTIPS = ("For Dress, or for another Combine Garments.",)
    FUNCTION = "execute"

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        part = ("ATELIER_GARMENT_KV", {"tooltip": "From Encode Garments or another Combine Garments."})
        return {
            "required": {
                "garments_1": part,
                "worn": (
                    WORN,
                    {
                        "tooltip": "together: all by the same person, in any order with the same result. one outfit a "
                        "person: input 1 by person 1, input 2 by person 2."
                    },
                ),
            },
            "optional": {f"garments_{number}": part for number in range(2, 9)},
        }

    def execute(self, garments_1: GarmentKV, worn: str, **more: Any) -> dict:
        from ..host.tryon import encode_graph

        kv = encode_graph.combine([garments_1, *(more[name] for name in sorted(more))], worn)
        return {"ui": {"text": [encode_graph.size_text(kv)]}, "result": (kv,)}


def dress_widgets() -> dict:
    """The widgets that Dress and Try On share, in this order for good."""
    return {
        "framing": (
            FRAMINGS,
            {
                "tooltip": "What the model sees. around the mask: more pixels for the garments. whole picture: the"
                " whole figure. as trained: what this model expects."
            },
        ),
        "size": (
            SIZES,
            {
                "tooltip": "Size at which the model works. as trained: 768x1024 for FastFit. keep: the picture's own "
                "pixels, no scaling. custom: width and height below."
            },
        ),
        "width": _pixels(768, "Custom width, rounded up to a multiple of 8."),
        "height": _pixels(1024, "Custom height, rounded up to a multiple of 8."),
        "padding": (
            "FLOAT",
            {
                "default": 0.05,
                "min": 0.0,
                "max": 2.0,
                "step": 0.01,
                "tooltip": "Room around the mask on each side, as a share of the crop. Published: 0.05.",
            },
        ),
        "grow": widgets.grow("Enlarge the mask by this many pixels first, if an edge of the old garment shows."),
        "feather": widgets.feather(
            "Pixels over which the result fades into the picture, inside the mask. Outside the mask nothing changes.", 4
        ),
    }


def crop_options(
    trained: Trained, framing: str, size: str, width: int, height: int, padding: float, grow: int, feather: int
) -> dict:
    pixels = {"as trained": trained.person, "keep": None, "custom": (max(width, 64), max(height, 64))}[size]
    whole = trained.whole if framing == "as trained" else framing == "whole picture"
    return {"size": pixels, "whole": whole, "padding": padding, "grow": grow, "feather": feather}


class Dress:
    TITLE = "Dress"
    CATEGORY = CATEGORY
    DESCRIPTION = (
        "Prepares person and outfit for any sampler: crops around the mask, draws the pose inside it, and keeps what "
        "Composite needs to put the result back."
    )
    SEARCH_ALIASES = ["try-on conditioning", "inpaint conditioning", "agnostic", "person", "crop and stitch"]
    RETURN_TYPES = ("CONDITIONING", "CONDITIONING", "LATENT", "ATELIER_STITCH", "IMAGE")
    RETURN_NAMES = ("positive", "negative", "latent", "stitch", "model sees")
    OUTPUT_TOOLTIPS = (
        "For the sampler's positive input.",
        "For the sampler's negative input.",
        "Where sampling starts (denoise 1).",
        "For Composite.",
        "The crop that the model sees: the person, with the pose or grey inside the mask.",
    )
    FUNCTION = "execute"

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        return {
            "required": {
                "model": ("MODEL", {"tooltip": MODEL_TIP}),
                "vae": ("VAE", {"tooltip": VAE_TIP}),
                "person": ("IMAGE", {"tooltip": "One person, or a batch of them."}),
                "mask": (
                    "MASK",
                    {
                        "tooltip": "What is repainted: the old garment with room around it, arms and legs included"
                        " where the new one may cover them. One for all people, or one each."
                    },
                ),
                **dress_widgets(),
            },
            "optional": {
                "garments": (
                    "ATELIER_GARMENT_KV",
                    {"tooltip": "From Encode Garments. Without it the model fills the mask from the person alone."},
                ),
                "pose": (
                    "IMAGE,POSE_KEYPOINT",
                    {
                        "tooltip": "The pose to keep: keypoints, or a drawn OpenPose skeleton of the whole picture. "
                        "Optional."
                    },
                ),
            },
        }

    def execute(
        self,
        model: Model,
        vae: Vae,
        person: Image,
        mask: Mask,
        framing: str,
        size: str,
        width: int,
        height: int,
        padding: float,
        grow: int,
        feather: int,
        garments: GarmentKV | None = None,
        pose: Image | PoseKeypoint | None = None,
    ) -> tuple:
        from ..host.tryon import dress, tryon_defaults
        from .sockets import Stitch

        options = crop_options(tryon_defaults.of(model), framing, size, width, height, padding, grow, feather)
        dressed = dress.dress(vae, person, mask, pose, **options)
        positive, negative, latent = dress.conditioning(model, vae, dressed, garments)
        return (positive, negative, latent, Stitch(dressed.people, dressed.plan, dressed.paste), dressed.picture)


class Composite:
    TITLE = "Composite"
    CATEGORY = CATEGORY
    DESCRIPTION = "Puts the repainted crop back. Outside the mask every pixel is the input's own, bit for bit."
    SEARCH_ALIASES = ["stitch", "paste back", "uncrop", "inpaint stitch"]
    RETURN_TYPES = ("IMAGE",)
    RETURN_NAMES = ("image",)
    OUTPUT_TOOLTIPS = ("The whole picture, in the input's own size.",)
    FUNCTION = "execute"

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        return {
            "required": {
                "stitch": ("ATELIER_STITCH", {"tooltip": "From Dress."}),
                "image": ("IMAGE", {"tooltip": "The sampler's result after VAE Decode."}),
                "seam_colour": widgets.seam_colour(
                    "Move the new colours so that they meet the picture's along the mask's edge. 0:"
                    " leave them as they are."
                ),
            }
        }

    def execute(self, stitch: Stitch, image: Image, seam_colour: float) -> tuple:
        from ..craft.picture.crop_and_stitch import stitch as put_back
        from ..host.images import checked_picture

        new = checked_picture(image, "repainted picture")
        return (put_back(stitch.people, new, stitch.plan, stitch.mask, seam_colour=seam_colour),)


NODES = [Garment, EncodeGarments, EncodeOneGarment, CombineGarments, Dress, Composite]
