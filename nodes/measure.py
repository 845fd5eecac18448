"""Measures: pictures against pictures, searches against right answers. Every figure names its library, network
and N.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .text_inputs import takes_text

if TYPE_CHECKING:
    from ..host.host_types import Image
    from ..host.wardrobe.fashion_encoder import FashionEncoder
    from .sockets import Wardrobe

CATEGORY = "Atelier/Measure"


@takes_text("lpips_trunk", "lpips_heads", lines=("texts",))
class ImageMetrics:
    TITLE = "Image Metrics"
    CATEGORY = CATEGORY
    DESCRIPTION = (
        "Compares two sets of pictures: pair by pair (SSIM, PSNR, LPIPS from local files) and as sets (FID,"
        " KID, coverage, diversity, with the features of your encoder), and pictures with words (CLIP-S) or"
        " with classes (Inception score)."
    )
    SEARCH_ALIASES = ["FID", "KID", "SSIM", "LPIPS", "PSNR", "CLIP score", "quality", "evaluation"]
    RETURN_TYPES = ("STRING", "FLOAT")
    RETURN_NAMES = ("table", "first figure")
    OUTPUT_TOOLTIPS = (
        "One figure a line, with library, feature network and number of pictures.",
        "The table's first figure.",
    )
    FUNCTION = "execute"

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        return {
            "required": {
                "images": ("IMAGE", {"tooltip": "The pictures to judge."}),
                "compare": (
                    ["pairs", "sets", "words", "classes"],
                    {
                        "tooltip": "Pairs: picture i with reference i. Sets: all with all. Words: picture i with line"
                        " i of the texts. Classes: Inception score over the classes in the texts, one a"
                        " line, recognised by the encoder."
                    },
                ),
            },
            "optional": {
                "reference": ("IMAGE", {"tooltip": "What they are compared with (pairs, sets)."}),
                "encoder": (
                    "ATELIER_ENCODER",
                    {
                        "tooltip": "Whose features sets and words are compared by. Figures of different encoders do"
                        " not compare."
                    },
                ),
                "texts": (
                    "STRING",
                    {
                        "default": "",
                        "multiline": True,
                        "tooltip": "One line a picture, or one line for all (words); one class a line (classes).",
                    },
                ),
                "lpips_trunk": (
                    "STRING",
                    {
                        "default": "",
                        "tooltip": "LPIPS only: torchvision's trunk as a .safetensors file below"
                        " models/atelier/metrics.",
                    },
                ),
                "lpips_heads": (
                    "STRING",
                    {
                        "default": "",
                        "tooltip": "LPIPS only: its linear heads as a .safetensors file below models/atelier/metrics.",
                    },
                ),
                "lpips_kind": (
                    ["squeeze", "alex", "vgg"],
                    {
                        "tooltip": "Which trunk the two files hold. Papers differ: squeeze (CatVTON, FastFit), alex,"
                        " vgg do not compare."
                    },
                ),
            },
        }

    def execute(
        self, images: Image, compare: str, reference: Image | None = None, encoder: FashionEncoder | None = None,
        texts: str = "", lpips_trunk: str = "", lpips_heads: str = "", lpips_kind: str = "squeeze",
    ) -> dict:  # fmt: skip
        from ..host.wardrobe.measuring import measure_pictures

        figures = measure_pictures(images, compare, reference, encoder, texts, lpips_trunk, lpips_heads, lpips_kind)
        table = "\n".join(figure.line() for figure in figures)
        return {"ui": {"text": [table]}, "result": (table, figures[0].value)}


@takes_text(lines=("queries",))
class RetrievalMetrics:
    TITLE = "Retrieval Metrics"
    CATEGORY = CATEGORY
    DESCRIPTION = (
        "How well a wardrobe is searched: a list of queries with their right answers in, R@K, MRR and mAP"
        " out, beside chance and with the pool's size. Refuses an evaluation whose captions were written"
        " from the queries."
    )
    SEARCH_ALIASES = ["recall", "R@K", "MRR", "mAP", "retrieval evaluation", "composed recall"]
    RETURN_TYPES = ("STRING", "FLOAT")
    RETURN_NAMES = ("table", "R@1")
    OUTPUT_TOOLTIPS = ("One figure a line.", "Share of queries whose first hit is right.")
    FUNCTION = "execute"

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        return {
            "required": {
                "wardrobe": ("ATELIER_WARDROBE", {"tooltip": "From Index Wardrobe: its pictures are the pool."}),
                "queries": (
                    "STRING",
                    {
                        "default": "",
                        "multiline": True,
                        "tooltip": "One query a line: words = path; several right answers: words = path | path. A"
                        " picture and a change: path + words = path.",
                    },
                ),
                "method": (
                    ["centred slerp", "sum of scores", "q-former"],
                    {"tooltip": "How a picture and a change are combined, as in Search Wardrobe."},
                ),
                "change_weight": (
                    "FLOAT",
                    {
                        "default": 0.4,
                        "min": 0.0,
                        "max": 1.0,
                        "step": 0.05,
                        "tooltip": "0 = the picture alone, 1 = the words alone.",
                    },
                ),
            },
        }

    def execute(self, wardrobe: Wardrobe, queries: str, method: str, change_weight: float) -> dict:
        from ..host.wardrobe.measuring import measure_retrieval

        figures = measure_retrieval(wardrobe.folder, wardrobe.encoder, queries, method, change_weight)
        table = "\n".join(figure.line() for figure in figures)
        return {"ui": {"text": [table]}, "result": (table, figures[0].value)}


@takes_text(lines=("captions", "references"))
class CaptionMetrics:
    TITLE = "Caption Metrics"
    CATEGORY = CATEGORY
    DESCRIPTION = "Compares captions with reference captions: BLEU-1 to 4, ROUGE-L, CIDEr (pycocoevalcap)."
    SEARCH_ALIASES = ["BLEU", "ROUGE", "CIDEr", "caption evaluation"]
    RETURN_TYPES = ("STRING", "FLOAT")
    RETURN_NAMES = ("table", "BLEU-1")
    OUTPUT_TOOLTIPS = ("One figure a line.", "The first of them.")
    FUNCTION = "execute"

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        return {
            "required": {
                "captions": ("STRING", {"default": "", "multiline": True, "tooltip": "One caption a line."}),
                "references": (
                    "STRING",
                    {
                        "default": "",
                        "multiline": True,
                        "tooltip": "One line a caption; several references of one caption are separated by |.",
                    },
                ),
            },
        }

    def execute(self, captions: str, references: str) -> dict:
        from ..craft.measure.lines import paired_lines
        from ..craft.measure.retrieval_metrics import captions as measured

        lines, given = paired_lines(captions, references)
        figures = measured([line.split("|") for line in given], lines)
        table = "\n".join(figure.line() for figure in figures)
        return {"ui": {"text": [table]}, "result": (table, figures[0].value)}


NODES = [ImageMetrics, RetrievalMetrics, CaptionMetrics]
