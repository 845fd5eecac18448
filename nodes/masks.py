"""Masks stage: masks of named body parts, and the mask for trying clothes on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..craft import garments
from ..craft.body.part_names import ALL_NAMES, ATTRIBUTES, LOWER, PROTECTABLE, STYLES, UPPER
from . import widgets
from .body import CATEGORY, PERSON
from .text_inputs import takes_text

if TYPE_CHECKING:
    from ..craft.body.found_body import BodyParts
    from ..host.host_types import Image, PoseKeypoint
    from .sockets import Outfit

AS_WORN = -0.05
PART_LIST = ", ".join(ALL_NAMES)


@takes_text("parts_text", "protect")
class BodyPartMaskEditor:
    TITLE = "Body-Part Mask Editor"
    CATEGORY = CATEGORY
    DESCRIPTION = (
        "A mask of named body parts (sleeves, collar, hem ...), scaled to the body; with parts painted in the editor on"
        " top."
    )
    SEARCH_ALIASES = ["part mask", "sleeve mask", "collar mask", "inpaint mask", "body mask", "mask editor"]
    RETURN_TYPES = ("MASK", "MASK", "STRING")
    RETURN_NAMES = ("mask", "soft_mask", "report")
    OUTPUT_TOOLTIPS = (
        "The hard mask, for sampling: 1 = change.",
        "The mask that fades inside its outline, for pasting: outside the hard mask it is 0.",
        "What was mirrored, guessed or left out.",
    )
    FUNCTION = "execute"

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        return {
            "required": {
                "parts_text": (
                    "STRING",
                    {
                        "default": "",
                        "tooltip": (
                            "Besides the parts chosen in the editor: parts with + and -, such as: sleeves + collar -"
                            f" hands. Known: {PART_LIST}."
                        ),
                    },
                ),
                "style": (
                    list(STYLES),
                    {
                        "tooltip": (
                            "limb capsules: drawn from the joints. parser regions: from the label maps. published"
                            " boxes: HieraFashDiff's, by attribute and garment."
                        )
                    },
                ),
                "target_length": (
                    "FLOAT",
                    {
                        "default": AS_WORN,
                        "min": AS_WORN,
                        "max": 1.0,
                        "step": 0.05,
                        "tooltip": (
                            "Where a sleeve, skirt or trouser is to end: 0 shoulder or hip, 0.5 elbow or knee, 1 wrist"
                            " or ankle. The mask covers old and new length. Below 0: the whole limb."
                        ),
                    },
                ),
                "grow": widgets.grow("Pixels to widen the mask by (negative: narrow)."),
                "feather": widgets.feather("Pixels inside the outline over which the soft mask fades."),
                "protect": (
                    "STRING",
                    {
                        "default": "",
                        "tooltip": (
                            "Parts that are never masked, such as: face + hair + hands. Their labels count where parts"
                            " are connected."
                        ),
                    },
                ),
                "attribute": (list(ATTRIBUTES), {"tooltip": "For the published boxes: which attribute is edited."}),
                "garment": ([*LOWER, *UPPER], {"tooltip": "For the published boxes: what is worn."}),
                "person": PERSON,
                "width": (
                    "INT",
                    {
                        "default": 768,
                        "min": 16,
                        "max": 16384,
                        "tooltip": "Width of the mask when neither image nor parts is connected.",
                    },
                ),
                "height": (
                    "INT",
                    {
                        "default": 1024,
                        "min": 16,
                        "max": 16384,
                        "tooltip": "Height of the mask when neither image nor parts is connected.",
                    },
                ),
                "edit": (
                    "ATELIER_PART_EDITS",
                    {
                        "default": "",
                        "atelier_widget": True,
                        "tooltip": (
                            "The editor: click parts, paint, drag joints. Its value is JSON text; empty: only the parts"
                            " named above."
                        ),
                    },
                ),
            },
            "optional": {
                "image": ("IMAGE", {"tooltip": "The picture that the mask is for; gives its size."}),
                "pose_keypoint": (
                    "POSE_KEYPOINT",
                    {
                        "tooltip": (
                            "Joints from Detect Body or another detector. Without it the editor's own figure is used."
                        )
                    },
                ),
                "parts": (
                    "ATELIER_PARTS",
                    {"tooltip": "Label maps from Detect Body: for parser regions, worn lengths and exact protection."},
                ),
            },
        }

    @classmethod
    def VALIDATE_INPUTS(cls, parts_text: str = "", protect: str = "", edit: str | dict = "") -> bool | str:
        from ..craft.body.part_edits import read_edits
        from ..craft.body.part_names import parse_parts

        try:
            for text in (parts_text, protect):
                parse_parts(text or "")
            read_edits(edit or "")
        except ValueError as problem:
            return str(problem)
        return True

    def execute(
        self,
        parts_text: str,
        style: str,
        target_length: float,
        grow: int,
        feather: int,
        protect: str,
        attribute: str,
        garment: str,
        person: int,
        width: int,
        height: int,
        edit: str | dict,
        image: Image | None = None,
        pose_keypoint: PoseKeypoint | None = None,
        parts: BodyParts | None = None,
    ) -> dict:
        import torch

        from ..craft.body.keypoints import read_keypoints
        from ..craft.body.part_edits import read_edits
        from ..craft.body.part_masks import PartChoice, choice_masks

        size, count = _size(image, parts, width, height)
        choice = PartChoice(
            parts_text,
            read_edits(edit),
            protect,
            style,
            None if target_length < 0 else target_length,
            grow,
            feather,
            person,
            attribute,
            garment,
        )
        frames = None if pose_keypoint is None else read_keypoints(pose_keypoint, *size)
        hard, soft, notes = choice_masks(choice, size, frames, *_maps(parts), count, parts and parts.owners())
        report = "\n".join(notes) or "all parts found"
        shown = _for_the_editor(size, frames, person, image)
        return {
            "ui": {"text": [report], **shown},
            "result": (torch.from_numpy(hard).float(), torch.from_numpy(soft), report),
        }


def _for_the_editor(size, frames, person, image) -> dict:
    """What the page's editor draws after a run: the first person's joints as shares of the picture, and the picture."""
    from ..craft.body.keypoints import choose_person

    width, height = size
    joints = None
    if frames is not None and len(frames[0]):
        joints = [[float(x) / width, float(y) / height, float(c > 0)] for x, y, c in choose_person(frames[0], person)]
    shown = {"atelier_figure": [{"joints": joints, "aspect": [width, height]}]}
    if image is not None:
        from ..host.images import preview

        shown["atelier_picture"] = preview(image[:1, ..., :3], "part_editor")
    return shown


class AgnosticMask:
    TITLE = "Agnostic Mask"
    CATEGORY = CATEGORY
    DESCRIPTION = (
        "The try-on mask for the garments that will be worn: drawn from the body, so that it does not tell what was"
        " worn before."
    )
    SEARCH_ALIASES = ["auto masker", "try-on mask", "cloth mask", "garment mask", "cloth agnostic", "FastFit masker"]
    RETURN_TYPES = ("MASK", "STRING")
    RETURN_NAMES = ("mask", "report")
    OUTPUT_TOOLTIPS = ("1 = repaint.", "What was guessed or left out.")
    FUNCTION = "execute"

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        # Saved graphs hold values by place: switches of categories that came later stand last.
        switches, later = ({
            category.id: ("BOOLEAN", {
                "default": category.id == "upper", "tooltip": f"A new garment of this category: {category.tooltip}."
            })
            for category in garments.CATEGORIES
            if (category.number is not None) is first
        } for first in (True, False))  # fmt: skip
        guards = {
            f"protect_{name}": ("BOOLEAN", {"default": True, "tooltip": f"Never mask the {name}."})
            for name in PROTECTABLE
        }
        return {
            "required": {
                "pose_keypoint": ("POSE_KEYPOINT", {"tooltip": "Joints from Detect Body or another detector."}),
                **switches,
                "from_outfit": (
                    "BOOLEAN",
                    {
                        "default": True,
                        "tooltip": "With an outfit connected: take its categories instead of the switches above.",
                    },
                ),
                **guards,
                "margin": (
                    "FLOAT",
                    {
                        "default": 0.0,
                        "min": -0.05,
                        "max": 0.5,
                        "step": 0.01,
                        "tooltip": "More room all round, in torso lengths.",
                    },
                ),
                "mode": (
                    list(MASK_MODES),
                    {
                        "tooltip": (
                            "from the body: tells nothing of the old garment. published: FastFit's masker on the label"
                            " maps."
                        )
                    },
                ),
                "person": PERSON,
                "width": (
                    "INT",
                    {
                        "default": 768,
                        "min": 16,
                        "max": 16384,
                        "tooltip": "Width of the mask when neither image nor parts is connected.",
                    },
                ),
                "height": (
                    "INT",
                    {
                        "default": 1024,
                        "min": 16,
                        "max": 16384,
                        "tooltip": "Height of the mask when neither image nor parts is connected.",
                    },
                ),
            },
            "optional": {
                "image": ("IMAGE", {"tooltip": "The person's picture; gives the mask's size."}),
                "parts": (
                    "ATELIER_PARTS",
                    {
                        "tooltip": (
                            "Label maps from Detect Body: exact protection, and the old garment is surely covered."
                        )
                    },
                ),
                "outfit": ("ATELIER_OUTFIT", {"tooltip": "The garments that will be worn, from Garment."}),
                **later,
            },
        }

    def execute(
        self,
        pose_keypoint: PoseKeypoint,
        from_outfit: bool,
        margin: float,
        mode: str,
        person: int,
        width: int,
        height: int,
        image: Image | None = None,
        parts: BodyParts | None = None,
        outfit: Outfit | None = None,
        **switches: Any,
    ) -> dict:
        import torch

        from ..craft.body.agnostic_batch import AgnosticChoice, agnostic_masks
        from ..craft.body.keypoints import read_keypoints

        size, count = _size(image, parts, width, height)
        if from_outfit and outfit is not None:
            categories = tuple(dict.fromkeys(garment.category for garment in outfit.garments))
        else:
            categories = tuple(name for name in garments.IDS if switches.get(name))
        protect = tuple(name for name in PROTECTABLE if switches[f"protect_{name}"])
        choice = AgnosticChoice(categories, protect, margin, mode == MASK_MODES[1], person)
        frames, owners = read_keypoints(pose_keypoint, *size), parts and parts.owners()
        masks, notes = agnostic_masks(choice, size, frames, *_maps(parts), count, owners)
        report = "\n".join([f"categories: {', '.join(categories)}", *notes])
        return {"ui": {"text": [report]}, "result": (torch.from_numpy(masks).float(), report)}


MASK_MODES = ("from the body", "published (FastFit)")


def _size(image, parts, width: int, height: int) -> tuple[tuple[int, int], int]:
    """((width, height), number of pictures) of what is connected."""
    if image is not None:
        if parts is not None and tuple(parts.parts.shape[1:]) != tuple(image.shape[1:3]):
            raise ValueError(
                f"The label maps are {parts.parts.shape[2]}x{parts.parts.shape[1]}, the picture"
                f" {image.shape[2]}x{image.shape[1]}; connect parts that were detected in this picture."
            )
        return (image.shape[2], image.shape[1]), image.shape[0]
    if parts is not None:
        return (parts.parts.shape[2], parts.parts.shape[1]), parts.parts.shape[0]
    return (width, height), 1


def _maps(parts):
    """(part labels, garment labels) as arrays, or None where there are none."""
    if parts is None:
        return None, None
    return parts.parts.cpu().numpy(), None if parts.garments is None else parts.garments.cpu().numpy()


NODES = [BodyPartMaskEditor, AgnosticMask]
