"""Compare: before and after in the node, for every stage."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..host.host_types import Image


class Compare:
    TITLE = "Compare"
    CATEGORY = "Atelier/Refine"
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


NODES = [Compare]
