"""Body joints in one form: COCO-18 (OpenPose order), pixels, confidence; whatever form they arrive in.

Joints: 0 nose, 1 neck, 2-4 right shoulder, elbow, wrist, 5-7 left, 8-10 right hip, knee, ankle, 11-13 left, 14/15 right
and left eye, 16/17 right and left ear. Right is the person's own right, in a front view on the image's left.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

NOSE, NECK = 0, 1
R_SHOULDER, R_ELBOW, R_WRIST, L_SHOULDER, L_ELBOW, L_WRIST = 2, 3, 4, 5, 6, 7
R_HIP, R_KNEE, R_ANKLE, L_HIP, L_KNEE, L_ANKLE = 8, 9, 10, 11, 12, 13
R_EYE, L_EYE, R_EAR, L_EAR = 14, 15, 16, 17
JOINT_NAMES = (
    "nose", "neck", "right shoulder", "right elbow", "right wrist", "left shoulder", "left elbow", "left wrist",
    "right hip", "right knee", "right ankle", "left hip", "left knee", "left ankle", "right eye", "left eye",
    "right ear", "left ear",
)  # fmt: skip
MIRRORED = (0, 1, 5, 6, 7, 2, 3, 4, 11, 12, 13, 8, 9, 10, 15, 14, 17, 16)
FROM_COCO17 = (0, None, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3)  # the neck is the shoulders' middle
FROM_BODY25 = (0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18)
MAX_TEXT = 4_000_000
NORMALISED_LIMIT = 1.0


def read_keypoints(value: Any, width: int, height: int) -> list[np.ndarray]:
    """Frames of people from POSE_KEYPOINT of any pack, its JSON text, or plain arrays.

    value: list of frames or one frame ({"people": [{"pose_keypoints_2d": [...]}], "canvas_width", "canvas_height"}),
    JSON
    of the same, or numbers [18,3], [people,18,3], [18,2]. 17 (COCO) and 25 (BODY_25) joints are taken too.
    Coordinates that are all within [-1, 1] count as fractions of the picture.
    Returns one float32 [people,18,3] for each frame in pixels of a width x height picture; absent joints are (0, 0, 0).
    Raises ValueError with a sentence for anything else.
    """
    if isinstance(value, str):
        value = _parse_text(value)
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    if isinstance(value, np.ndarray) or _is_numbers(value):
        return [_plain_array(np.asarray(value, dtype=np.float64), width, height)]
    frames = value if isinstance(value, (list, tuple)) else [value]
    if not frames:
        raise ValueError("The pose list is empty; connect the POSE_KEYPOINT of Detect Body or of another detector.")
    return [_frame(frame, width, height) for frame in frames]


def to_pose_keypoint(frames: Sequence[np.ndarray], width: int, height: int) -> list[dict]:
    """The community's POSE_KEYPOINT value (pixels with the canvas size, absent joints 0, 0, 0) of [people,18,3]
    frames.
    """
    return [
        {
            "version": "1.0",
            "people": [{"pose_keypoints_2d": [round(float(v), 3) for v in person.reshape(-1)]} for person in frame],
            "canvas_width": int(width),
            "canvas_height": int(height),
        }
        for frame in frames
    ]


def choose_person(people: np.ndarray, person: int = 0) -> np.ndarray:
    """One [18,3] person: 0 = the one with the largest torso, n >= 1 = the n-th from the image's left.

    Raises ValueError when there is no such person.
    """
    return people[person_index(people, person)]


def person_index(people: np.ndarray, person: int = 0) -> int:
    """The row of `choose_person`'s person."""
    if len(people) == 0:
        raise ValueError(
            "The pose holds nobody: no joint was found. Give a picture with a visible person or another pose."
        )
    if person == 0:
        return int(np.argmax([torso_length(p) for p in people]))
    if person > len(people):
        raise ValueError(
            f"The pose holds {len(people)} people, person {person} was asked for; choose 0 (the largest) to"
            f" {len(people)}."
        )
    centres = [p[p[:, 2] > 0, 0].mean() if (p[:, 2] > 0).any() else math.inf for p in people]
    return int(np.argsort(centres, kind="stable")[person - 1])


def torso_length(person: np.ndarray) -> float:
    """Neck to the middle of the hips in pixels; from the shoulders' width or the joints' extent where those are
    absent; 0 for nobody.
    """
    hips = [person[j, :2] for j in (R_HIP, L_HIP) if person[j, 2] > 0]
    if person[NECK, 2] > 0 and hips:
        return float(np.linalg.norm(np.mean(hips, axis=0) - person[NECK, :2]))
    if person[R_SHOULDER, 2] > 0 and person[L_SHOULDER, 2] > 0:
        return 1.4 * float(np.linalg.norm(person[R_SHOULDER, :2] - person[L_SHOULDER, :2]))
    seen = person[person[:, 2] > 0, :2]
    return 0.3 * float(np.ptp(seen, axis=0).max()) if len(seen) > 1 else 0.0


def complete(person: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Fill absent joints where the other side tells them, mirrored at the line from neck to hips.

    Returns the person (confidence of a filled joint 0.1) and a sentence for each filled joint. Where both sides are
    absent nothing is invented, except the neck between two shoulders and hips below them (half-body pictures).
    """
    person, notes = np.array(person, dtype=np.float32), []
    if person[NECK, 2] <= 0 and person[R_SHOULDER, 2] > 0 and person[L_SHOULDER, 2] > 0:
        person[NECK] = [*(person[R_SHOULDER, :2] + person[L_SHOULDER, :2]) / 2, 0.1]
        notes.append("neck taken from the shoulders")
    axis = _axis(person)
    if axis is None:
        return person, notes
    origin, direction = axis
    seen = person[:, 2] > 0
    for joint in range(18):
        other = MIRRORED[joint]
        if not seen[joint] and other != joint and seen[other]:
            offset = person[other, :2] - origin
            person[joint] = [*(origin + 2 * offset.dot(direction) * direction - offset), 0.1]
            notes.append(f"{JOINT_NAMES[joint]} mirrored from the {JOINT_NAMES[other]}")
    if not (seen[R_HIP] or seen[L_HIP]) and (person[[R_SHOULDER, L_SHOULDER], 2] > 0).all():
        across = person[L_SHOULDER, :2] - person[R_SHOULDER, :2]
        below = person[NECK, :2] + 1.4 * np.linalg.norm(across) * np.array([0.0, 1.0])
        person[R_HIP], person[L_HIP] = [*(below - 0.3 * across), 0.1], [*(below + 0.3 * across), 0.1]
        notes.append("hips guessed below the shoulders")
    return person, notes


def _axis(person: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    if person[NECK, 2] <= 0:
        return None
    neck = person[NECK, :2]
    if person[R_HIP, 2] > 0 and person[L_HIP, 2] > 0:
        direction = (person[R_HIP, :2] + person[L_HIP, :2]) / 2 - neck
    else:
        direction = np.array([0.0, 1.0], np.float32)  # upright: the hips cannot tell
    length = float(np.linalg.norm(direction))
    return (neck, direction / length) if length > 0 else None


def _parse_text(text: str) -> Any:
    if len(text) > MAX_TEXT:
        raise ValueError(f"The keypoint text is {len(text)} characters long; at most {MAX_TEXT} are read.")
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError) as problem:
        raise ValueError(
            f"The keypoint text is not JSON ({problem}); paste what a pose node writes, or connect POSE_KEYPOINT."
        ) from None


def _is_numbers(value: Any) -> bool:
    while isinstance(value, (list, tuple)) and value:
        value = value[0]
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _plain_array(numbers: np.ndarray, width: int, height: int) -> np.ndarray:
    if numbers.ndim == 2:
        numbers = numbers[None]
    if numbers.ndim != 3 or numbers.shape[2] not in (2, 3):
        raise ValueError(f"Keypoints are numbers of shape {list(numbers.shape)}; expected [18,3] or [people,18,3].")
    if numbers.shape[2] == 2:
        numbers = np.concatenate([numbers, np.ones((*numbers.shape[:2], 1))], axis=2)
    people = np.stack([_to_coco18(person) for person in numbers]) if len(numbers) else np.zeros((0, 18, 3))
    return _in_pixels(people, None, None, width, height)


def _frame(frame: Any, width: int, height: int) -> np.ndarray:
    if not isinstance(frame, dict) or not isinstance(frame.get("people"), (list, tuple)):
        raise ValueError(
            f'A pose frame is {type(frame).__name__} without a list "people"; expected POSE_KEYPOINT as pose nodes'
            " give it."
        )
    people = []
    for person in frame["people"]:
        flat = person.get("pose_keypoints_2d") if isinstance(person, dict) else None
        if not flat:
            continue
        try:
            numbers = np.asarray(flat, dtype=np.float64).reshape(-1)
        except (TypeError, ValueError):
            raise ValueError(
                "pose_keypoints_2d holds something that is no number; expected x, y, confidence for each joint."
            ) from None
        if numbers.size % 3:
            raise ValueError(
                f"pose_keypoints_2d has {numbers.size} numbers; expected three (x, y, confidence) for each joint."
            )
        people.append(_to_coco18(numbers.reshape(-1, 3)))
    stacked = np.stack(people) if people else np.zeros((0, 18, 3))
    return _in_pixels(stacked, _canvas(frame, "canvas_width"), _canvas(frame, "canvas_height"), width, height)


def _canvas(frame: dict, key: str) -> float | None:
    side = frame.get(key)
    if side is None:
        return None
    if not isinstance(side, (int, float)) or not math.isfinite(side) or side <= 0:
        raise ValueError(f"{key} is {side!r}; expected the positive size of the picture that the joints refer to.")
    return float(side)


def _to_coco18(joints: np.ndarray) -> np.ndarray:
    if not np.isfinite(joints).all():
        raise ValueError("The keypoints hold a number that is not finite; absent joints must be 0, 0, 0.")
    if len(joints) == 18:
        return joints
    if len(joints) == 25:
        return joints[list(FROM_BODY25)]
    if len(joints) == 17:
        result = np.stack([joints[i] if i is not None else np.zeros(3) for i in FROM_COCO17])
        if joints[5, 2] > 0 and joints[6, 2] > 0:
            result[NECK] = [*(joints[5, :2] + joints[6, :2]) / 2, min(joints[5, 2], joints[6, 2])]
        return result
    raise ValueError(f"A person has {len(joints)} joints; expected 18 (OpenPose), 17 (COCO) or 25 (BODY_25).")


def _in_pixels(
    people: np.ndarray, canvas_w: float | None, canvas_h: float | None, width: int, height: int
) -> np.ndarray:
    people = np.array(people, dtype=np.float64)
    present = people[..., 2] > 0
    # A joint at exactly (0, 0) is how several nodes write "absent", whatever confidence they give it.
    present &= (people[..., 0] != 0) | (people[..., 1] != 0)
    if present.any():
        if np.abs(people[..., :2][present]).max() <= NORMALISED_LIMIT:
            people[..., :2] *= (width, height)
        elif canvas_w and canvas_h:
            people[..., :2] *= (width / canvas_w, height / canvas_h)
    people[~present] = 0
    return people.astype(np.float32)
