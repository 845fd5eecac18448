"""The masks' part of `python dev.py parity hierafashdiff DIR`: boxes, rectangles, drawn poses, sizes, segmenter
masks.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors.torch import load_file

from .report import Report

DRAWING = 1.5  # mean of 255


def masks(report: Report, path: Path) -> None:
    from PIL import Image

    from ...craft.body.pose_drawing import draw_pose
    from ...craft.body.published_boxes import boxes_mask, published_boxes, rule_of
    from ...models.hierafashdiff import schedules

    index = json.loads(path.read_text(encoding="utf-8"))
    poses = {pose["id"]: pose for pose in index["poses"]}
    boxes = pixels = insane = 0
    for case in index["cases"]:
        pose = poses[case["pose"]]
        got = published_boxes(_people(pose), rule_of(case["attribute"], case["category"]))
        boxes += got != case["boxes"]
        mask = boxes_mask(got, pose["width"], pose["height"])
        recorded = np.asarray(Image.open(path.parent / case["mask"]).convert("L"))
        if case["quirk"] == "none":
            pixels += int((mask != (recorded > 0)).sum())
        else:  # the original's mask is broken there; ours must hold the part
            insane += mask.shape != recorded.shape or (not mask.any() and _touches(got, pose))
    report.count("masks boxes", boxes)
    report.count("masks rectangles (pixels)", pixels)
    report.count("masks fallback empty", insane)
    for item in index["pose_maps"]["items"]:
        pose = poses[item["pose"]]
        drawn = draw_pose(_people(pose), pose["width"], pose["height"]).astype(np.float64)
        recorded = np.asarray(Image.open(path.parent / item["file"]).convert("RGB")).astype(np.float64)
        report.compare("masks pose drawings (mean of 255)", np.abs(drawn - recorded).mean(), 0.0, DRAWING)
    sizes = index["resize_cases"]["items"]
    report.count("masks picture sizes", sum(schedules.picture_size(*case[:3]) != tuple(case[3:]) for case in sizes))
    _segmenter(report, load_file(path.parent / index["sam_merge"]["file"]))


def _segmenter(report: Report, tensors: dict) -> None:
    from ...craft.body.published_boxes import merge_segmenter_masks
    from ...models.hierafashdiff.ddim import latent_mask

    wrong = small = 0
    for name in (key.removesuffix("_in") for key in tensors if key.endswith("_in")):
        given, recorded = tensors[f"{name}_in"], tensors[f"{name}_out"]
        if name.startswith("sam"):
            wrong += int((merge_segmenter_masks(given.numpy()) * 255 != recorded.numpy()).sum())
        else:
            small += int((latent_mask(given.float(), *recorded.shape[-2:]) != recorded).sum())
    report.count("masks segmenter merge", wrong)
    report.count("masks to latent", small)


def _touches(boxes: list[list[int]], pose: dict) -> bool:
    """Whether any box, corners sorted, meets the picture."""
    sides = [(sorted(box[::2]), sorted(box[1::2])) for box in boxes]
    return any(
        x[0] < pose["width"] and x[1] > 0 and y[0] < pose["height"] and y[1] > 0 and x[0] < x[1] and y[0] < y[1]
        for x, y in sides
    )


def _people(pose: dict) -> np.ndarray:
    """OpenPose's candidates and subsets as [people,18,3]; an absent joint has confidence 0."""
    candidates = np.asarray(pose["candidate"], dtype=np.float64).reshape(-1, 4)
    people = np.zeros((len(pose["subset"]), 18, 3))
    for person, subset in zip(people, pose["subset"]):
        for joint, place in enumerate(subset[:18]):
            if place >= 0:
                person[joint] = (*candidates[int(place)][:2], 1.0)
    return people
