"""Figure stage: a drawn fashion figure with everything that the other stages want to know about it."""

from __future__ import annotations

from typing import Any

CATEGORY = "Atelier/Figure"
SIZE = {"min": 64, "max": 4096, "step": 8}


class Croquis:
    TITLE = "Croquis"
    CATEGORY = CATEGORY
    DESCRIPTION = (
        "Draws a designer's fashion figure in clothes of your choice, with its pose, mask, part labels and the "
        "flat-lay of each garment. "
        "Seeded and exact: the same figure at every size."
    )
    SEARCH_ALIASES = [
        "fashion figure",
        "mannequin",
        "drawn person",
        "sketch",
        "flat lay",
        "test person",
        "OpenPose",
        "try-on input",
    ]
    RETURN_TYPES = (
        "IMAGE", "MASK", "IMAGE", "POSE_KEYPOINT", "ATELIER_PARTS", "IMAGE", "IMAGE", "IMAGE", "IMAGE", "IMAGE",
        "IMAGE", "IMAGE", "IMAGE", "IMAGE", "STRING", "STRING", "STRING",
    )  # fmt: skip
    RETURN_NAMES = (
        "person", "mask", "pose", "pose_keypoint", "parts", "part_labels", "garment_labels", "top", "bottom_or_dress",
        "jacket", "shoes", "bag", "swatch", "sketch", "caption", "concept", "attributes",
    )  # fmt: skip
    OUTPUT_TOOLTIPS = (
        "The dressed figures.",
        "Where such clothes may lie: from body and pose alone, so it does not give the garment's outline away.",
        "The skeleton on black, for a pose ControlNet or Dress.",
        "The joints (OpenPose order), for the mask nodes here and for other packs.",
        "Part and garment label maps, for the mask nodes: exact, not guessed.",
        "The body parts, one colour each.",
        "The garments, one colour for each ATR label.",
        "Flat-lay of the top on white.",
        "Flat-lay of skirt, trousers or shorts, else of the dress or jumpsuit.",
        "Flat-lay of the open jacket or coat.",
        "Flat-lay of the shoes.",
        "Flat-lay of the bag.",
        "The fabric of the main garment, a square.",
        "The lines alone, dark on white.",
        "Concept and attributes as one line.",
        "What, colours, patterns, fit, mood.",
        "Length, sleeve length, sleeve type, collar, hem, one a line: as the Hierarchical Prompt Scheduler takes them.",
    )
    FUNCTION = "execute"

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        from ..croquis.choice import ANY, NONE, OUTFITS
        from ..croquis.colours import COLOURS, PATTERNS
        from ..croquis.garment import KINDS
        from ..croquis.pose import ARMS, STANCES

        def choice(values, tooltip, extra=(ANY,)):
            return ([*extra, *values], {"tooltip": tooltip})

        seed = {"default": 7, "min": 0, "max": 2**63 - 1}
        return {
            "required": {
                "seed": (
                    "INT",
                    {**seed, "control_after_generate": True, "tooltip": "Body, skin, hair, pose and background."},
                ),
                "outfit_seed": ("INT", {**seed, "tooltip": "Everything about the clothes that is not chosen below."}),
                "people": (
                    "INT",
                    {
                        "default": 1,
                        "min": 1,
                        "max": 64,
                        "tooltip": "How many different people wear this outfit: seed, seed + 1 ...",
                    },
                ),
                "width": (
                    "INT",
                    {
                        **SIZE,
                        "default": 768,
                        "tooltip": "In pixels. The figure fills a 3:4 picture; other shapes get more background.",
                    },
                ),
                "height": ("INT", {**SIZE, "default": 1024, "tooltip": "In pixels."}),
                "outfit": (list(OUTFITS), {"tooltip": "Which garments are worn. An open jacket lies over the rest."}),
                "top": choice(KINDS["upper"], "Kind of top."),
                "bottom": choice(KINDS["lower"], "Kind of bottom."),
                "dress": choice(KINDS["overall"], "Dress or jumpsuit, when the outfit has one."),
                "top_pattern": choice(PATTERNS, "Fabric of the top or the dress."),
                "top_colour": choice(COLOURS, "Ground colour of the top or the dress."),
                "bottom_pattern": choice(PATTERNS, "Fabric of the bottom."),
                "bottom_colour": choice(COLOURS, "Ground colour of the bottom."),
                "shoes": choice(
                    KINDS["shoe"],
                    "Shoes as part of the outfit; with none the figure wears plain slippers outside the mask.",
                    (NONE, ANY),
                ),
                "bag": choice(KINDS["bag"], "A bag in the hand as part of the outfit.", (NONE, ANY)),
                "stance": choice(STANCES, "How the figure stands."),
                "arms": choice(ARMS, "What at least one arm does; cross lies in front of the body."),
            }
        }

    def execute(self, seed: int, outfit_seed: int, people: int, width: int, height: int, **wishes: Any) -> tuple:
        from ..croquis.batch import draw_people
        from ..croquis.choice import Wishes
        from ..host.run_control import progress

        drawn = draw_people(seed, outfit_seed, people, width, height, Wishes(**wishes), progress(people))
        return _outputs(drawn, width, height)


def _outputs(drawn, width, height):
    """The node's outputs; what is not worn is blocked, so that nothing downstream takes a blank for a garment."""
    import torch

    from ..craft.body.found_body import BodyParts
    from ..craft.body.keypoints import to_pose_keypoint
    from ..host.run_control import blocked

    def image(array):
        return torch.from_numpy(array).float() / 255.0

    def flat(name):
        picture = drawn.flats.get(name)
        missing = (
            f"Croquis has no {name.replace('_', ' ')}: this outfit does not wear one; "
            "choose another outfit or unplug this output."
        )
        return blocked(missing) if picture is None else image(picture)

    labels = torch.from_numpy(drawn.parts), torch.from_numpy(drawn.atr)
    parts = BodyParts(*labels, torch.from_numpy(drawn.atr > 0), "croquis (exact)", people=tuple(drawn.joints))
    return (
        image(drawn.person), image(drawn.mask), image(drawn.pose), to_pose_keypoint(drawn.joints, width, height), parts,
        image(drawn.coloured(drawn.parts)), image(drawn.coloured(drawn.atr)),
        *(flat(name) for name in ("top", "bottom_or_dress", "jacket", "shoes", "bag")),
        image(drawn.swatch), image(drawn.sketch)[..., None].repeat(1, 1, 1, 3),
        drawn.caption["text"], drawn.caption["concept"], "\n".join(drawn.caption["attributes"]),
    )  # fmt: skip


NODES = [Croquis]
