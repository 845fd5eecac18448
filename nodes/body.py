"""Body stage: find the body in a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..craft.body.part_names import MAP_KINDS

if TYPE_CHECKING:
    from ..host.host_types import Image, PoseKeypoint

CATEGORY = "Atelier/Body"
BACKENDS = ("auto", "photo", "studio", "controlnet-aux")
PERSON = (
    "INT",
    {
        "default": 0,
        "min": 0,
        "max": 50,
        "tooltip": "Which person: 0 = the largest, 1, 2, 3 ... = from the picture's left.",
    },
)


class DetectBody:
    TITLE = "Detect Body"
    CATEGORY = CATEGORY
    DESCRIPTION = (
        "Finds the joints, the body parts and the garment regions of the people in a picture. Offline, without compiled"
        " extensions."
    )
    SEARCH_ALIASES = [
        "openpose",
        "dwpose",
        "pose detector",
        "human parser",
        "body parts",
        "segmentation",
        "keypoints",
        "blazepose",
    ]
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
    def INPUT_TYPES(cls) -> dict:
        return {
            "required": {
                "image": ("IMAGE", {"tooltip": "One or several pictures with a person in each."}),
                "backend": (
                    list(BACKENDS),
                    {
                        "tooltip": (
                            "photo: networks for photographs. studio: the pack's own small network for drawn figures."
                            " controlnet-aux: OpenPose from a local file (joints only). auto: the first of photo,"
                            " controlnet-aux, studio that is installed and finds somebody."
                        )
                    },
                ),
                "person": PERSON,
                "parser": (
                    _parsers(),
                    {
                        "tooltip": (
                            "A trained human parser (SegFormer, from models/human_parsers) for exact garment regions;"
                            " none: rough rules."
                        )
                    },
                ),
            },
            "optional": {
                "pose_keypoint": ("POSE_KEYPOINT", {"tooltip": "Joints from another detector, used instead of ours."}),
                "label_map": (
                    "IMAGE",
                    {
                        "tooltip": (
                            "A label map of another parser: grey value = label number / 255, same size as the picture."
                        )
                    },
                ),
                "label_set": (list(MAP_KINDS), {"tooltip": "What the numbers of label_map mean."}),
            },
        }

    def execute(
        self,
        image: Image,
        backend: str,
        person: int,
        parser: str,
        pose_keypoint: PoseKeypoint | None = None,
        label_map: Image | None = None,
        label_set: str = MAP_KINDS[0],
    ) -> dict:
        from ..craft.body.keypoints import to_pose_keypoint
        from ..host.body.detect_body import detect, pictures

        found = detect(image, backend, person, parser, pose_keypoint, label_map, label_set)
        report = "\n".join([found.source, *found.notes])
        pose = to_pose_keypoint(found.people, image.shape[2], image.shape[1])
        return {"ui": {"text": [report]}, "result": (pose, found, *pictures(found), found.person.float(), report)}


def _parsers() -> list[str]:
    try:
        from ..host.body.segformer_parser import parser_folders
    except ImportError:  # outside the host, where the schema alone is read
        return ["none"]
    return ["none", *parser_folders()]


NODES = [DetectBody]
