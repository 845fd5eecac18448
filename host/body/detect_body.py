"""Detect Body: pictures to poses and label maps, from our backends or from what other packs give."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import comfy.model_management
import comfy.utils
import numpy as np
import torch

from ...craft.body import labels as label_sets
from ...craft.body.body_parts import Body
from ...craft.body.found_body import BodyParts, labels_of_first
from ...craft.body.keypoints import choose_person, read_keypoints
from ...craft.body.part_labels import label_parts
from ...craft.body.part_names import MAP_KINDS
from ...craft.body.pose_drawing import draw_pose
from ...craft.counts import check_count, own
from ..images import checked_picture, from_uint8, to_uint8
from .body_backends import open_backend, with_parser
from .found import Found, from_joints
from .segformer_parser import NONE, open_parser

if TYPE_CHECKING:
    from PIL import Image

    from ..host_types import Mask, PoseKeypoint


def detect(
    image: Image,
    backend: str,
    person: int,
    parser: str = NONE,
    pose: PoseKeypoint | None = None,
    label_map: Image | Mask | None = None,
    label_set: str = MAP_KINDS[0],
) -> BodyParts:
    """image IMAGE [B,H,W,3]; pose: POSE_KEYPOINT of another pack instead of our network; label_map: IMAGE whose values
    are
    label numbers / 255. Raises ValueError where nobody is found in a picture or a given value is unfit."""
    pictures = to_uint8(checked_picture(image, "image", (3, 4))[..., :3])
    count, height, width = pictures.shape[:3]
    frames = None if pose is None else read_keypoints(pose, width, height)
    if frames is not None:
        check_count(len(frames), "poses", count)
    maps = None if label_map is None else read_label_map(label_map, width, height)
    if maps is not None:
        check_count(len(maps), "label maps", count)
    run = _given_pose(frames, person) if frames is not None else open_backend(backend, person)
    strangers: list[str] = []
    if parser != NONE:
        parse, strangers = open_parser(parser)
        run = with_parser(run, parse, f"parser {parser}") if frames is None else _parsed(run, parse, parser)
    progress = comfy.utils.ProgressBar(count)
    results = []
    for index, picture in enumerate(pictures):
        comfy.model_management.throw_exception_if_processing_interrupted()
        found = run(picture) if frames is None else run(picture, index)
        if not len(found.people):
            raise ValueError(
                f"Nobody was found in picture {index + 1} of {count} ({found.source}); crop closer to the person, or"
                " connect POSE_KEYPOINT of another detector."
            )
        results.append(found if maps is None else _with_labels(found, own(maps, index), label_set))
        progress.update(1)
    notes = [f"picture {i + 1}: {n}" if count > 1 else n for i, found in enumerate(results) for n in found.notes]
    if strangers:
        notes.append(f"the parser's labels {', '.join(strangers)} have no place in ATR and became background")
    garments = [f.garments for f in results]
    return BodyParts(
        _stacked([found.parts for found in results]),
        None if any(g is None for g in garments) else _stacked(garments),
        _stacked([found.person for found in results]),
        results[0].source,
        tuple(dict.fromkeys(notes)),
        tuple(found.people if person == 0 else found.people[:1] for found in results),
    )


def _stacked(maps: list[np.ndarray]) -> torch.Tensor:
    return torch.from_numpy(np.stack(maps))


def read_label_map(label_map: torch.Tensor, width: int, height: int) -> np.ndarray:
    """uint8 [B,H,W] from an IMAGE or MASK whose values are label numbers / 255, the way label maps travel between
    packs.
    """
    values = label_map[..., 0] if label_map.ndim == 4 else label_map
    if tuple(values.shape[1:]) != (height, width):
        raise ValueError(
            f"The label map is {values.shape[2]}x{values.shape[1]}, the picture {width}x{height}; label numbers cannot"
            " be scaled smoothly: make the map from this picture."
        )
    numbers = (values.float() * 255).round().to(torch.uint8).cpu().numpy()
    if numbers.max() >= 25:
        raise ValueError(
            f"The label map holds the value {numbers.max()}; label numbers / 255 are expected (a coloured map is no"
            " label map)."
        )
    return numbers


def _given_pose(frames: list[np.ndarray], person: int):
    """The parts of a pose that came from outside; without a label map the silhouette is the body's own capsules."""

    def run(picture: np.ndarray, index: int) -> Found:
        height, width = picture.shape[:2]
        return from_joints(own(frames, index), person, width, height, "given pose")

    return run


def _parsed(run, parse, name: str):
    def parsed(picture: np.ndarray, index: int) -> Found:
        found, labels = run(picture, index), parse(picture)
        return replace(_with_labels(found, labels, MAP_KINDS[0]), source=f"{found.source}; parser {name}")

    return parsed


def _with_labels(found: Found, labels: np.ndarray, label_set: str) -> Found:
    """The find with label maps from outside in place of its own; of several people's, those of the chosen one."""
    labels = labels_of_first(labels, found.people)
    person = labels > 0
    notes = tuple(n for n in found.notes if "garment" not in n and "silhouette" not in n)
    joints = choose_person(found.people[:1])
    if label_set == MAP_KINDS[2]:
        return Found(found.people, labels, found.garments, person, f"{found.source}; given part labels", notes)
    garments = label_sets.lip_to_atr(labels) if label_set == MAP_KINDS[1] else labels
    parts = label_parts(Body(joints, labels.shape[1], labels.shape[0]).joints, person)
    return Found(found.people, parts, garments, person, f"{found.source}; given garment labels", notes)


def pictures(found: BodyParts) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The drawn poses, the coloured part labels, and the coloured garment labels (parts again where there are none):
    IMAGEs.
    """
    height, width = found.parts.shape[1:]
    poses = np.stack([draw_pose(people, width, height, "body") for people in found.people])
    parts = found.parts.numpy()
    shown = parts if found.garments is None else found.garments.numpy()
    return from_uint8(poses), from_uint8(label_sets.colour(parts)), from_uint8(label_sets.colour(shown))
