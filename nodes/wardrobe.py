"""Wardrobe stage: an encoder, a folder of garments as an index, search by words and pictures, and picking a hit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..craft.garments import LABELS
from .text_inputs import takes_text

if TYPE_CHECKING:
    from ..host.host_types import ClipVision, Image
    from ..host.wardrobe.fashion_encoder import FashionEncoder
    from .sockets import Hits, Wardrobe

CATEGORY = "Atelier/Wardrobe"
NO_FILE = "colours and shapes (no model file)"
STUDIO = "studio"
PLACES = ["input", "output", "wardrobe"]
PLACE_TOOLTIP = "Which of the host's folders: input, output, or models/atelier/wardrobe."


class LoadFashionEncoder:
    TITLE = "Load Fashion Encoder"
    CATEGORY = CATEGORY
    DESCRIPTION = (
        "Loads what turns garment pictures and words into comparable numbers: the pack's own studio encoder"
        " (drawn garments), a model in models/atelier/encoders (photos), or colours and shapes without any"
        " model."
    )
    SEARCH_ALIASES = ["CLIP", "SigLIP", "FashionCLIP", "open_clip", "Q-Former", "BLIP-2", "embedding", "UniFashion"]
    RETURN_TYPES = ("ATELIER_ENCODER",)
    RETURN_NAMES = ("encoder",)
    OUTPUT_TOOLTIPS = ("For Index Wardrobe, Garment Attributes and the metrics.",)
    FUNCTION = "execute"

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        from ..host.wardrobe import wardrobe_folders

        found = wardrobe_folders.model_folders(wardrobe_folders.ENCODERS, (".safetensors",))
        return {
            "required": {
                "encoder": (
                    [NO_FILE, STUDIO, *found],
                    {
                        "tooltip": "studio: the pack's own, knows drawn garments by words, picture, and picture +"
                        " change. Others: a folder in models/atelier/encoders, an open_clip model (for"
                        " example Marqo-FashionSigLIP) or a BLIP-2 retrieval model. The first choice"
                        " compares colours and shapes of any pictures."
                    },
                ),
            },
            "optional": {
                "clip_vision": (
                    "CLIP_VISION",
                    {"tooltip": "Use this vision model of the host instead: finds by picture only."},
                ),
            },
        }

    def execute(self, encoder: str, clip_vision: ClipVision | None = None) -> tuple:
        from ..host.wardrobe import fashion_encoder, wardrobe_folders

        if clip_vision is not None:
            return (fashion_encoder.ClipVisionEncoder(clip_vision),)
        if encoder == NO_FILE:
            return (fashion_encoder.ColourShapeEncoder(),)
        if encoder == STUDIO:
            from ..host.wardrobe.studio_encoder import StudioEncoder

            return (StudioEncoder(),)
        from ..host.wardrobe.load_encoder import load_encoder

        return (load_encoder(wardrobe_folders.model_folder(wardrobe_folders.ENCODERS, encoder)),)


@takes_text("folder", lines=("captions",))
class IndexWardrobe:
    TITLE = "Index Wardrobe"
    CATEGORY = CATEGORY
    DESCRIPTION = (
        "Makes a folder of garment pictures searchable. Only new and changed pictures are looked at;"
        " stopping it at any time loses nothing."
    )
    SEARCH_ALIASES = ["retrieval", "catalogue", "embedding index", "image search", "closet", "UniFashion"]
    RETURN_TYPES = ("ATELIER_WARDROBE", "STRING", "INT")
    RETURN_NAMES = ("wardrobe", "report", "count")
    OUTPUT_TOOLTIPS = (
        "The searchable wardrobe.",
        "What was done, and which files could not be used and why.",
        "How many pictures can be found.",
    )
    FUNCTION = "execute"

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        return {
            "required": {
                "encoder": (
                    "ATELIER_ENCODER",
                    {"tooltip": "From Load Fashion Encoder. A wardrobe belongs to the encoder that indexed it."},
                ),
                "place": (PLACES, {"tooltip": PLACE_TOOLTIP}),
                "folder": (
                    "STRING",
                    {
                        "default": "wardrobe",
                        "tooltip": "A folder below that place, with its subfolders. Subfolders called shirts, skirts,"
                        " bags … give the category.",
                    },
                ),
                "describe": (
                    "BOOLEAN",
                    {
                        "default": True,
                        "tooltip": "Also note colours and, with an encoder that knows words, type, collar, sleeves,"
                        " pattern … for the filter of Search Wardrobe. Counts for pictures read in this run.",
                    },
                ),
                "confidence": (
                    "FLOAT",
                    {
                        "default": 0.5,
                        "min": 0.05,
                        "max": 0.99,
                        "step": 0.01,
                        "tooltip": "An attribute is noted only when the encoder is at least this sure. Counts for"
                        " pictures read in this run.",
                    },
                ),
                "start_over": (
                    "BOOLEAN",
                    {
                        "default": False,
                        "tooltip": "If another encoder indexed this folder: forget its index and make a new one."
                        " Pictures are never touched.",
                    },
                ),
            },
            "optional": {
                "images": (
                    "IMAGE",
                    {
                        "tooltip": "Pictures to save into the folder first (as PNG, each once). Leave it unconnected"
                        " for a folder of your own."
                    },
                ),
                "captions": (
                    "STRING",
                    {
                        "default": "",
                        "multiline": True,
                        "tooltip": "One line for each of these pictures, kept beside it.",
                    },
                ),
            },
        }

    @classmethod
    def IS_CHANGED(cls, place: str | None = None, folder: str | None = None, **_: Any) -> str:
        from ..craft.wardrobe.wardrobe_scan import fingerprint
        from ..host.wardrobe.wardrobe_folders import wardrobe_folder

        return fingerprint(wardrobe_folder(place, folder))

    def execute(
        self, encoder: FashionEncoder, place: str, folder: str, describe: bool, confidence: float, start_over: bool,
        images: Image | None = None, captions: str = "",
    ) -> dict:  # fmt: skip
        from ..craft.wardrobe.wardrobe_store import WardrobeStore
        from ..host.wardrobe import index_and_search as wardrobe
        from ..host.wardrobe import wardrobe_folders
        from .sockets import Wardrobe

        path = wardrobe_folders.wardrobe_folder(place, folder, create=images is not None)
        if images is not None:
            wardrobe.keep_pictures(path, images, captions.splitlines())
        report = wardrobe.index(path, encoder, describe=describe, confidence=confidence, start_over=start_over)
        with WardrobeStore(path) as store:
            made = Wardrobe(path, encoder, store.version, report.findable)
        return {"ui": {"text": [report.text()]}, "result": (made, report.text(), report.findable)}


@takes_text("text", "unwanted", "filter", "present")
class SearchWardrobe:
    TITLE = "Search Wardrobe"
    CATEGORY = CATEGORY
    DESCRIPTION = (
        'Finds garments by words, by a picture, or by a picture and a wished change ("like this but red").'
        " Exact and repeatable."
    )
    SEARCH_ALIASES = [
        "retrieval",
        "composed image retrieval",
        "find garment",
        "similar",
        "text to image search",
        "UniFashion",
    ]
    RETURN_TYPES = ("ATELIER_HITS", "IMAGE", "STRING", "STRING", "STRING", "IMAGE")
    RETURN_NAMES = ("hits", "pictures", "scores", "paths", "captions", "contact_sheet")
    OUTPUT_TOOLTIPS = (
        "For Pick.", "The hits as one batch, fitted on white.",
        "One line a hit: score, likeness to the picture, likeness to the words.",
        "One path a line, below the wardrobe's folder.", "One caption a line (empty where there is none).",
        "All hits on one sheet, numbered for Pick.",
    )  # fmt: skip
    FUNCTION = "execute"
    OUTPUT_NODE = True  # runs with nothing behind it, to browse the hits in the node

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        from ..craft.wardrobe.composed_query import METHODS

        return {
            "required": {
                "wardrobe": ("ATELIER_WARDROBE", {"tooltip": "From Index Wardrobe."}),
                "text": (
                    "STRING",
                    {
                        "default": "",
                        "multiline": True,
                        "tooltip": "What to find; with a picture: what should be different.",
                    },
                ),
                "count": ("INT", {"default": 12, "min": 1, "max": 200, "tooltip": "How many hits."}),
                "method": (
                    list(METHODS),
                    {
                        "tooltip": "How picture and change are combined. q-former: the studio encoder and Q-Formers,"
                        " which take no other. Open_clip encoders: centred slerp (best to begin with), sum"
                        " of scores, or direction, which needs the words in 'present'. Not used with text"
                        " or picture alone."
                    },
                ),
                "change_weight": (
                    "FLOAT",
                    {
                        "default": 0.4,
                        "min": 0.0,
                        "max": 1.0,
                        "step": 0.05,
                        "tooltip": "0 = the picture alone, 1 = the words alone. Not used by q-former.",
                    },
                ),
                "unwanted": ("STRING", {"default": "", "tooltip": "What should not be in the picture, in words."}),
                "unwanted_strength": (
                    "FLOAT",
                    {
                        "default": 0.5,
                        "min": 0.0,
                        "max": 2.0,
                        "step": 0.05,
                        "tooltip": "How much likeness to the unwanted words is held against a garment.",
                    },
                ),
                "filter": (
                    "STRING",
                    {
                        "default": "",
                        "tooltip": "Only garments with these attributes: 'category: dress, colour: red, -pattern:"
                        " floral'. Two values of one kind mean either.",
                    },
                ),
                "variety": (
                    "FLOAT",
                    {
                        "default": 0.0,
                        "min": 0.0,
                        "max": 1.0,
                        "step": 0.05,
                        "tooltip": "0 = the best hits whatever they are, higher = hits that differ from each other.",
                    },
                ),
                "hide_same": (
                    "BOOLEAN",
                    {"default": True, "tooltip": "Leave out the connected picture itself and near copies of it."},
                ),
            },
            "optional": {
                "picture": ("IMAGE", {"tooltip": "Find garments like this one (the first of a batch)."}),
                "present": (
                    "STRING",
                    {"default": "", "tooltip": "For 'direction': what the picture shows now, e.g. 'a blue dress'."},
                ),
            },
        }

    @classmethod
    def VALIDATE_INPUTS(cls, filter: str | None = None) -> bool | str:
        from ..craft.wardrobe.wardrobe_search import parse_filter

        try:
            parse_filter(filter or "")
        except ValueError as error:
            return str(error)
        return True

    def execute(
        self, wardrobe: Wardrobe, text: str, count: int, method: str, change_weight: float, unwanted: str,
        unwanted_strength: float, filter: str, variety: float, hide_same: bool, picture: Image | None = None,
        present: str = "",
    ) -> dict:  # fmt: skip
        from ..host.wardrobe.index_and_search import search
        from ..host.wardrobe.wardrobe_results import outputs
        from .sockets import Hits

        found = search(
            wardrobe.folder, wardrobe.encoder, count, text=text, picture=None if picture is None else picture[0],
            method=method, weight=change_weight, present=present, unwanted=unwanted,
            unwanted_strength=unwanted_strength, filters=filter, spread=variety, hide_same=hide_same,
        )  # fmt: skip
        ui, values = outputs(wardrobe.folder, found)
        return {"ui": ui, "result": (Hits(wardrobe.folder, tuple(one.item for one in found)), *values)}


class Pick:
    TITLE = "Pick"
    CATEGORY = CATEGORY
    DESCRIPTION = "Takes one hit of Search Wardrobe at full size, with its category ready for Garment."
    SEARCH_ALIASES = ["choose hit", "select garment", "retrieval result"]
    RETURN_TYPES = ("IMAGE", list(LABELS), "STRING", "STRING")
    RETURN_NAMES = ("picture", "category", "caption", "path")
    OUTPUT_TOOLTIPS = (
        "The garment's own picture, at full size.",
        "For Garment's category.",
        "Its caption, empty if there is none.",
        "Its path below the wardrobe's folder.",
    )
    FUNCTION = "execute"

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        return {
            "required": {
                "hits": ("ATELIER_HITS", {"tooltip": "From Search Wardrobe."}),
                "number": (
                    "INT",
                    {
                        "default": 1,
                        "min": 1,
                        "max": 200,
                        "tooltip": "The number on the contact sheet; 1 is the best hit.",
                    },
                ),
                "if_unknown": (
                    ["stop", *LABELS],
                    {
                        "tooltip": "The category for a garment of which the wardrobe does not know one. 'stop' asks"
                        " you instead of guessing."
                    },
                ),
            },
        }

    def execute(self, hits: Hits, number: int, if_unknown: str) -> tuple:
        from ..host.wardrobe.wardrobe_results import pick

        return pick(hits.folder, hits.items, number, if_unknown)


NODES = [LoadFashionEncoder, IndexWardrobe, SearchWardrobe, Pick]
