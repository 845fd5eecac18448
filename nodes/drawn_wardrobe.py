"""Wardrobe stage: garments to search for where there are no photos yet."""

CATEGORY = "Atelier/Wardrobe"


class DrawnWardrobe:
    TITLE = "Drawn Wardrobe"
    CATEGORY = CATEGORY
    DESCRIPTION = (
        "Draws a wardrobe of different garments as flat-lays on white, with a caption each: something to"
        " search and to try on before you have photos."
    )
    SEARCH_ALIASES = ["croquis", "flat lay", "example garments", "test wardrobe", "catalogue"]
    RETURN_TYPES = ("IMAGE", "STRING")
    RETURN_NAMES = ("pictures", "captions")
    OUTPUT_TOOLTIPS = ("One garment a picture, for Index Wardrobe.", "One line a garment.")
    FUNCTION = "execute"

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        from ..croquis.drawn_wardrobe import DRAWN

        return {
            "required": {
                "seed": (
                    "INT",
                    {
                        "default": 1,
                        "min": 0,
                        "max": 2**31 - 1,
                        "control_after_generate": True,
                        "tooltip": "Which garments.",
                    },
                ),
                "count": ("INT", {"default": 60, "min": 2, "max": 1000, "tooltip": "How many."}),
                "garments": (
                    ["tops and bottoms", "all", *DRAWN],
                    {"tooltip": "Kinds of garments; all: with dresses, shoes and bags."},
                ),
                "width": (
                    "INT",
                    {
                        "default": 192,
                        "min": 64,
                        "max": 2048,
                        "step": 8,
                        "tooltip": "In pixels; 192 x 256 is what the studio try-on was trained on.",
                    },
                ),
                "height": ("INT", {"default": 256, "min": 64, "max": 2048, "step": 8, "tooltip": "In pixels."}),
            },
        }

    def execute(self, seed: int, count: int, garments: str, width: int, height: int) -> tuple:
        from ..croquis.drawn_wardrobe import draw_wardrobe
        from ..host.images import from_uint8
        from ..host.run_control import progress

        flats, captions = draw_wardrobe(seed, count, garments, width, height, progress(count))
        return from_uint8(flats), "\n".join(captions)


NODES = [DrawnWardrobe]
