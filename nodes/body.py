"""Body stage: find the body in a picture, and make masks of named parts and for try-on."""

from ..craft.agnostic_mask import CATEGORIES, PROTECTABLE
from ..craft.body_parts import ALL_NAMES, STYLES
from ..craft.labels import MAP_KINDS
from ..craft.published_boxes import ATTRIBUTES
from ..craft.published_boxes import CATEGORIES as GARMENTS

CATEGORY = "Atelier/Body"
AS_WORN = -0.05
PART_LIST = ", ".join(ALL_NAMES)
BACKENDS = ("auto", "photo", "studio")
PERSON = ("INT", {"default": 0, "min": 0, "max": 50, "tooltip": "Which person: 0 = the largest, 1, 2, 3 ... = from the picture's left."})


class DetectBody:
    TITLE = "Detect Body"
    CATEGORY = CATEGORY
    DESCRIPTION = "Finds the joints, the body parts and the garment regions of the people in a picture. Offline, without compiled extensions."
    SEARCH_ALIASES = ["openpose", "dwpose", "pose detector", "human parser", "body parts", "segmentation", "keypoints", "blazepose"]
    RETURN_TYPES = ("POSE_KEYPOINT", "ATELIER_PARTS", "IMAGE", "IMAGE", "IMAGE", "MASK", "STRING")
    RETURN_NAMES = ("pose_keypoint", "parts", "pose", "part_labels", "garment_labels", "person", "report")
    OUTPUT_TOOLTIPS = (
        "Joints of everybody found (OpenPose order), for the mask nodes here and for other packs.",
        "Part and garment label maps of the chosen person, for the mask nodes.",
        "The drawn skeleton, for a pose ControlNet or Dress.",
        "The body parts, one colour each.",
        "The garments, one colour for each ATR label (the parts again when there are no garment labels).",
        "The person's silhouette.",
        "Which backend worked, and what is doubtful.",
    )
    FUNCTION = "execute"

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {
                "image": ("IMAGE", {"tooltip": "One or several pictures with a person in each."}),
                "backend": (list(BACKENDS), {"tooltip": "photo: networks for photographs. studio: the pack's own small network for drawn figures. auto: photo when it is installed."}),
                "person": PERSON,
                "parser": (_parsers(), {"tooltip": "A trained human parser (SegFormer, from models/human_parsers) for exact garment regions; none: rough rules."}),
            },
            "optional": {
                "pose_keypoint": ("POSE_KEYPOINT", {"tooltip": "Joints from another detector, used instead of ours."}),
                "label_map": ("IMAGE", {"tooltip": "A label map of another parser: grey value = label number / 255, same size as the picture."}),
                "label_set": (list(MAP_KINDS), {"tooltip": "What the numbers of label_map mean."}),
            },
        }

    def execute(self, image, backend, person, parser, pose_keypoint=None, label_map=None, label_set=MAP_KINDS[0]):
        import torch

        from ..craft.keypoints import to_pose_keypoint
        from ..host.detect_body import detect, pictures
        from .sockets import BodyParts

        found = detect(image, backend, person, parser, pose_keypoint, label_map, label_set)
        tensor = torch.from_numpy
        garments = None if found.garments is None else tensor(found.garments)
        parts = BodyParts(tensor(found.parts), garments, tensor(found.person), found.source, found.notes)
        report = "\n".join([found.source, *found.notes])
        pose = to_pose_keypoint(found.frames, image.shape[2], image.shape[1])
        return {"ui": {"text": [report]}, "result": (pose, parts, *pictures(found), parts.person.float(), report)}


def _parsers() -> list[str]:
    try:
        from ..host.segformer_parser import parser_folders
    except ImportError:  # outside the host, where the schema alone is read
        return ["none"]
    return ["none", *parser_folders()]


class BodyPartMaskEditor:
    TITLE = "Body-Part Mask Editor"
    CATEGORY = CATEGORY
    DESCRIPTION = "A mask of named body parts (sleeves, collar, hem ...), scaled to the body; with parts painted in the editor on top."
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
    def INPUT_TYPES(cls):
        pixels = {"min": 0, "max": 512, "step": 1}
        return {
            "required": {
                "parts_text": ("STRING", {"default": "sleeves", "tooltip": f"Parts with + and -, such as: sleeves + collar - hands. Known: {PART_LIST}."}),
                "style": (list(STYLES), {"tooltip": "limb capsules: drawn from the joints. parser regions: from the label maps. published boxes: HieraFashDiff's, by attribute and garment."}),
                "target_length": ("FLOAT", {"default": AS_WORN, "min": AS_WORN, "max": 1.0, "step": 0.05, "tooltip": "Where a sleeve, skirt or trouser is to end: 0 shoulder or hip, 0.5 elbow or knee, 1 wrist or ankle. The mask covers old and new length. Below 0: the whole limb."}),
                "grow": ("INT", {"default": 0, "min": -256, "max": 256, "tooltip": "Pixels to widen the mask by (negative: narrow)."}),
                "feather": ("INT", {"default": 8, **pixels, "tooltip": "Pixels inside the outline over which the soft mask fades."}),
                "protect": ("STRING", {"default": "", "tooltip": "Parts that are never masked, such as: face + hair + hands. Their labels count where parts are connected."}),
                "attribute": (list(ATTRIBUTES), {"tooltip": "For the published boxes: which attribute is edited."}),
                "garment": (list(GARMENTS), {"tooltip": "For the published boxes: what is worn."}),
                "person": PERSON,
                "width": ("INT", {"default": 768, "min": 16, "max": 16384, "tooltip": "Width of the mask when neither image nor parts is connected."}),
                "height": ("INT", {"default": 1024, "min": 16, "max": 16384, "tooltip": "Height of the mask when neither image nor parts is connected."}),
                "edit": ("STRING", {"default": "", "multiline": True, "tooltip": "The editor's value (chosen parts, moved joints, strokes) as JSON; empty: only the parts above."}),
            },
            "optional": {
                "image": ("IMAGE", {"tooltip": "The picture that the mask is for; gives its size."}),
                "pose_keypoint": ("POSE_KEYPOINT", {"tooltip": "Joints from Detect Body or another detector. Without it the editor's own figure is used."}),
                "parts": ("ATELIER_PARTS", {"tooltip": "Label maps from Detect Body: for parser regions, worn lengths and exact protection."}),
            },
        }

    @classmethod
    def VALIDATE_INPUTS(cls, parts_text="", protect="", edit=""):
        from ..craft.body_parts import parse_parts
        from ..craft.part_edits import read_edits

        try:
            for text in (parts_text, protect):
                parse_parts(text or "")
            read_edits(edit or "")
        except ValueError as problem:
            return str(problem)
        return True

    def execute(self, parts_text, style, target_length, grow, feather, protect, attribute, garment, person, width, height, edit,
                image=None, pose_keypoint=None, parts=None):  # fmt: skip
        import torch

        from ..craft.keypoints import read_keypoints
        from ..craft.part_edits import read_edits
        from ..craft.part_masks import PartChoice, choice_masks

        size, count = _size(image, parts, width, height)
        choice = PartChoice(parts_text, read_edits(edit), protect, style, None if target_length < 0 else target_length,
                            grow, feather, person, attribute, garment)  # fmt: skip
        frames = None if pose_keypoint is None else read_keypoints(pose_keypoint, *size)
        hard, soft, notes = choice_masks(choice, size, frames, *_maps(parts), count)
        report = "\n".join(notes) or "all parts found"
        return {"ui": {"text": [report]}, "result": (torch.from_numpy(hard).float(), torch.from_numpy(soft), report)}


class AgnosticMask:
    TITLE = "Agnostic Mask"
    CATEGORY = CATEGORY
    DESCRIPTION = "The try-on mask for the garments that will be worn: drawn from the body, so that it does not tell what was worn before."
    SEARCH_ALIASES = ["auto masker", "try-on mask", "cloth mask", "garment mask", "cloth agnostic", "FastFit masker"]
    RETURN_TYPES = ("MASK", "STRING")
    RETURN_NAMES = ("mask", "report")
    OUTPUT_TOOLTIPS = ("1 = repaint.", "What was guessed or left out.")
    FUNCTION = "execute"

    @classmethod
    def INPUT_TYPES(cls):
        switches = {name: ("BOOLEAN", {"default": name in ("upper",), "tooltip": f"A new garment of this category: {text}."}) for name, text in CATEGORY_TEXT.items()}
        guards = {f"protect_{name}": ("BOOLEAN", {"default": True, "tooltip": f"Never mask the {name}."}) for name in PROTECTABLE}
        return {
            "required": {
                "pose_keypoint": ("POSE_KEYPOINT", {"tooltip": "Joints from Detect Body or another detector."}),
                **switches,
                "from_outfit": ("BOOLEAN", {"default": True, "tooltip": "With an outfit connected: take its categories instead of the switches above."}),
                **guards,
                "margin": ("FLOAT", {"default": 0.0, "min": -0.05, "max": 0.5, "step": 0.01, "tooltip": "More room all round, in torso lengths."}),
                "mode": (list(MASK_MODES), {"tooltip": "from the body: tells nothing of the old garment. published: FastFit's masker on the label maps."}),
                "person": PERSON,
                "width": ("INT", {"default": 768, "min": 16, "max": 16384, "tooltip": "Width of the mask when neither image nor parts is connected."}),
                "height": ("INT", {"default": 1024, "min": 16, "max": 16384, "tooltip": "Height of the mask when neither image nor parts is connected."}),
            },
            "optional": {
                "image": ("IMAGE", {"tooltip": "The person's picture; gives the mask's size."}),
                "parts": ("ATELIER_PARTS", {"tooltip": "Label maps from Detect Body: exact protection, and the old garment is surely covered."}),
                "outfit": ("ATELIER_OUTFIT", {"tooltip": "The garments that will be worn, from Garment."}),
            },
        }

    def execute(self, pose_keypoint, from_outfit, margin, mode, person, width, height, image=None, parts=None, outfit=None, **switches):
        import torch

        from ..craft.agnostic_batch import AgnosticChoice, agnostic_masks
        from ..craft.keypoints import read_keypoints

        size, count = _size(image, parts, width, height)
        if from_outfit and outfit is not None:
            categories = tuple(dict.fromkeys(garment.category for garment in outfit.garments))
        else:
            categories = tuple(name for name in CATEGORIES if switches[name])
        protect = tuple(name for name in PROTECTABLE if switches[f"protect_{name}"])
        choice = AgnosticChoice(categories, protect, margin, mode == MASK_MODES[1], person)
        masks, notes = agnostic_masks(choice, size, read_keypoints(pose_keypoint, *size), *_maps(parts), count)
        report = "\n".join([f"categories: {', '.join(categories)}", *notes])
        return {"ui": {"text": [report]}, "result": (torch.from_numpy(masks).float(), report)}


MASK_MODES = ("from the body", "published (FastFit)")
CATEGORY_TEXT = {
    "upper": "tops, shirts, jackets", "lower": "trousers and skirts", "overall": "dresses and jumpsuits",
    "shoe": "shoes", "bag": "a bag",
}  # fmt: skip


def _size(image, parts, width: int, height: int) -> tuple[tuple[int, int], int]:
    """((width, height), number of pictures) of what is connected."""
    if image is not None:
        if parts is not None and tuple(parts.parts.shape[1:]) != tuple(image.shape[1:3]):
            raise ValueError(
                f"The label maps are {parts.parts.shape[2]}x{parts.parts.shape[1]}, the picture {image.shape[2]}x{image.shape[1]}; "
                "connect parts that were detected in this picture."
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


NODES = [DetectBody, BodyPartMaskEditor, AgnosticMask]
