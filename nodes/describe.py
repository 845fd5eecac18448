"""Wardrobe stage, second half: captions and attributes of garments."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..craft.prompt.vocabulary import ATTRIBUTES
from .text_inputs import takes_text

if TYPE_CHECKING:
    from ..host.host_types import Image, Mask
    from ..host.wardrobe.captioner import Captioner
    from ..host.wardrobe.fashion_encoder import FashionEncoder

CATEGORY = "Atelier/Wardrobe"
SCHEDULED = ", ".join(ATTRIBUTES)


class LoadCaptioner:
    TITLE = "Load Captioner"
    CATEGORY = CATEGORY
    DESCRIPTION = (
        "Loads a model that describes pictures (Florence-2, SmolVLM, BLIP-2, Qwen-VL) from models/atelier/captioners."
    )
    SEARCH_ALIASES = ["Florence-2", "SmolVLM", "BLIP-2", "Qwen-VL", "LLaVA", "caption model", "describe"]
    RETURN_TYPES = ("ATELIER_CAPTIONER",)
    RETURN_NAMES = ("captioner",)
    OUTPUT_TOOLTIPS = ("For Garment Caption.",)
    FUNCTION = "execute"

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        from ..host.wardrobe import wardrobe_folders

        found = wardrobe_folders.model_folders(wardrobe_folders.CAPTIONERS, ("config.json",))
        return {
            "required": {
                "captioner": (
                    found or [cls.NONE],
                    {
                        "tooltip": "A folder in models/atelier/captioners with config.json, .safetensors and the"
                        " processor's files."
                    },
                )
            }
        }

    NONE = "no folder in models/atelier/captioners yet"

    def execute(self, captioner: str) -> tuple:
        from ..host.wardrobe import wardrobe_folders
        from ..host.wardrobe.captioner import Captioner

        if captioner == self.NONE:
            raise ValueError(
                "There is no captioner: put a model's folder (for example Florence-2-base) into"
                " models/atelier/captioners."
            )
        return (Captioner(wardrobe_folders.model_folder(wardrobe_folders.CAPTIONERS, captioner)),)


@takes_text("caption", "words", "change")
class GarmentCaption:
    TITLE = "Garment Caption"
    CATEGORY = CATEGORY
    DESCRIPTION = (
        "Describes a garment in words, and sorts the words into concept and attributes for the Hierarchical"
        " Prompt Scheduler."
    )
    SEARCH_ALIASES = [
        "describe garment",
        "image to text",
        "interrogate",
        "caption",
        "UniFashion",
        "prompt from picture",
    ]
    RETURN_TYPES = ("STRING", "STRING", "STRING")
    RETURN_NAMES = ("caption", "concept", "attributes")
    OUTPUT_TOOLTIPS = (
        "The whole caption, one line a picture.",
        "The garment itself, for the scheduler's concept (first picture).",
        "One attribute a line, the largest area first, for the scheduler (first picture).",
    )
    FUNCTION = "execute"

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        from ..craft.prompt.caption_styles import STYLES

        return {
            "required": {
                "image": ("IMAGE", {"tooltip": "One garment a picture."}),
                "style": (
                    list(STYLES),
                    {
                        "tooltip": "Short: a few words. Professional: a shop's sentence. Detailed: style, colour,"
                        " design and other key points."
                    },
                ),
            },
            "optional": {
                "captioner": ("ATELIER_CAPTIONER", {"tooltip": "From Load Captioner."}),
                "encoder": (
                    "ATELIER_ENCODER",
                    {
                        "tooltip": "Instead: the studio encoder or a Q-Former with a language head, from Load Fashion"
                        " Encoder."
                    },
                ),
                "caption": (
                    "STRING",
                    {
                        "default": "",
                        "multiline": True,
                        "tooltip": "Instead: a caption you already have; it is only sorted into concept and"
                        " attributes.",
                    },
                ),
                "words": (
                    "STRING",
                    {
                        "default": "",
                        "tooltip": "Words to choose from, separated by spaces. Chat models only (SmolVLM, Qwen-VL,"
                        " LLaVA).",
                    },
                ),
                "change": (
                    "STRING",
                    {
                        "default": "",
                        "tooltip": "Describe the garment as it would be after this change, e.g. 'longer sleeves'. Chat"
                        " models only.",
                    },
                ),
                "longest": (
                    "INT",
                    {
                        "default": 256,
                        "min": 8,
                        "max": 1024,
                        "tooltip": "At most this many tokens; a word is one or two.",
                    },
                ),
            },
        }

    def execute(
        self, image: Image, style: str, captioner: Captioner | None = None, encoder: FashionEncoder | None = None,
        caption: str = "", words: str = "", change: str = "", longest: int = 256,
    ) -> dict:  # fmt: skip
        from ..craft.prompt.caption_words import concept_and_attributes

        captions = _captions(image, style, captioner, encoder, caption, words, change, longest)
        concept, attributes = concept_and_attributes(captions[0])
        text = "\n".join(captions)
        shown = f"{text}\n\nconcept: {concept}\nattributes: {', '.join(attributes) or 'none'}"
        return {"ui": {"text": [shown]}, "result": (text, concept, "\n".join(attributes))}


def _captions(image, style, captioner, encoder, caption, words, change, longest) -> list[str]:
    given = [source for source in (captioner, encoder, caption.strip() or None) if source is not None]
    if len(given) != 1:
        raise ValueError(
            f"{len(given)} sources of a caption are connected: connect a captioner or an encoder, or write a caption."
        )
    if captioner is None and (words.strip() or change.strip()):
        raise ValueError(
            "Only a captioner takes 'words' and 'change': connect Load Captioner with a chat model (SmolVLM, Qwen-VL),"
            " or leave them empty."
        )
    if captioner is not None:
        return captioner.write(image, style, words=words, change=change, longest=longest)
    if encoder is not None:
        if not hasattr(encoder, "write"):
            raise ValueError(
                f"The encoder {encoder.name!r} cannot write: connect a captioner, the studio encoder, or a Q-Former"
                f" with a language head."
            )
        return encoder.write(list(image), longest, style)
    return [" ".join(caption.split())]


class GarmentAttributes:
    TITLE = "Garment Attributes"
    CATEGORY = CATEGORY
    DESCRIPTION = (
        "Names a garment's type, collar, sleeves, pattern and colours. What the encoder is not sure of is"
        " left out rather than guessed."
    )
    SEARCH_ALIASES = ["zero-shot", "tagger", "palette", "colours", "classify garment", "fashion attributes"]
    RETURN_TYPES = ("STRING", "STRING", "STRING", "STRING", "IMAGE")
    RETURN_NAMES = ("concept", "attributes", "category", "table", "palette")
    OUTPUT_TOOLTIPS = (
        "Colour, pattern and type, for the scheduler's concept.", f"One a line: {SCHEDULED}.",
        "upper, lower, dress, shoes or bag; empty when not sure.", "Everything with its confidence.",
        "The colours, as wide as their share.",
    )  # fmt: skip
    FUNCTION = "execute"

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        return {
            "required": {
                "image": ("IMAGE", {"tooltip": "A garment, best on a plain ground (the first of a batch)."}),
                "confidence": (
                    "FLOAT",
                    {
                        "default": 0.5,
                        "min": 0.05,
                        "max": 0.99,
                        "step": 0.01,
                        "tooltip": "Named only when the encoder is at least this sure.",
                    },
                ),
                "temperature": (
                    "FLOAT",
                    {
                        "default": 1.0,
                        "min": 0.1,
                        "max": 10.0,
                        "step": 0.05,
                        "tooltip": "Above 1: more doubtful, below 1: more certain. Calibrate so that 0.7 is right in 7"
                        " of 10 cases.",
                    },
                ),
                "colours": ("INT", {"default": 5, "min": 1, "max": 12, "tooltip": "At most this many colours."}),
            },
            "optional": {
                "encoder": ("ATELIER_ENCODER", {"tooltip": "One that knows words. Without it only colours are named."}),
                "mask": (
                    "MASK",
                    {"tooltip": "Where the garment is; without it everything unlike the border's colour counts."},
                ),
            },
        }

    def execute(
        self, image: Image, confidence: float, temperature: float, colours: int, encoder: FashionEncoder | None = None,
        mask: Mask | None = None,
    ) -> dict:  # fmt: skip
        from ..host.wardrobe.garment_words import describe

        table, values, sheet = describe(image, mask, encoder, confidence, temperature, colours)
        return {"ui": {"text": [table]}, "result": (*values, table, sheet)}


NODES = [LoadCaptioner, GarmentCaption, GarmentAttributes]
