"""BlazePose's pre- and post-processing (arXiv 2006.10204) around its two TFLite networks, in numpy and scipy.

The networks are handed in as callables, so this runs with any interpreter. Constants are those of the published graph.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

DETECTOR_SIZE, LANDMARK_SIZE = 224, 256
STRIDES_PER_LAYER = ((8, 2), (16, 2), (32, 6))  # cell size, anchors in each cell
MIN_SCORE, NMS_IOU, ROI_GROWTH = 0.5, 0.3, 1.25
MIN_CONFIDENCE = 0.3
LANDMARKS = 33
# COCO-18 joint -> BlazePose landmark; the neck is the middle of both shoulders
FROM_BLAZEPOSE = (0, None, 12, 14, 16, 11, 13, 15, 24, 26, 28, 23, 25, 27, 5, 2, 8, 7)
LEFT_HEEL, RIGHT_HEEL, LEFT_TOE, RIGHT_TOE = 29, 30, 31, 32

Detector = Callable[
    [np.ndarray], tuple[np.ndarray, np.ndarray]
]  # [1,224,224,3] -> raw boxes [2254,12], raw scores [2254]
Landmarker = Callable[
    [np.ndarray], dict[str, np.ndarray]
]  # [1,256,256,3] -> landmarks [39,5], flag, mask [256,256], heat [64,64,39]


@dataclass(frozen=True)
class Region:
    """A rotated square of the picture: centre, side and angle (radians) in pixels."""

    x: float
    y: float
    side: float
    angle: float
    score: float


@dataclass(frozen=True)
class Person:
    """landmarks [33,4]: x, y in picture pixels, visibility, presence. silhouette: bool [H,W]."""

    landmarks: np.ndarray
    silhouette: np.ndarray
    score: float


def find_people(image: np.ndarray, detector: Detector, landmarker: Landmarker) -> list[Person]:
    """Everybody in a picture uint8 [H,W,3] RGB, the surest first. Small people in a crowd are missed."""
    height, width = image.shape[:2]
    square, scale, offset = letterbox(image)
    boxes, scores = detector(square)
    people = []
    for region in regions(boxes, scores, scale, offset):
        crop, to_picture = crop_region(image, region)
        found = landmarker(crop)
        if float(found["flag"]) < MIN_SCORE:
            continue
        landmarks = read_landmarks(found["landmarks"], found["heat"])
        landmarks[:, :2] = landmarks[:, :2] @ to_picture[:, :2].T + to_picture[:, 2]
        silhouette = place_mask(found["mask"], to_picture, width, height)
        people.append(Person(landmarks, silhouette, float(found["flag"])))
    return people


def anchors() -> np.ndarray:
    """Centres [2254,2] in shares of the square, in the order of the detector's rows."""
    rows = []
    for stride, each in STRIDES_PER_LAYER:
        cells = DETECTOR_SIZE // stride
        y, x = np.mgrid[:cells, :cells]
        centres = (np.stack([x, y], -1).reshape(-1, 2) + 0.5) / cells
        rows.append(centres.repeat(each, axis=0))
    return np.concatenate(rows)


def letterbox(image: np.ndarray) -> tuple[np.ndarray, float, tuple[float, float]]:
    """float32 [1,224,224,3] in -1..1 (border: -1), picture pixels per square pixel, and the picture's corner in the
    square.
    """
    height, width = image.shape[:2]
    scale = max(height, width) / DETECTOR_SIZE
    new_w, new_h = max(1, round(width / scale)), max(1, round(height / scale))
    left, top = (DETECTOR_SIZE - new_w) // 2, (DETECTOR_SIZE - new_h) // 2
    square = np.full((1, DETECTOR_SIZE, DETECTOR_SIZE, 3), -1.0, np.float32)
    square[0, top : top + new_h, left : left + new_w] = shrink(image, new_w, new_h) / 127.5 - 1.0
    return square, scale, (left, top)


def shrink(image: np.ndarray, width: int, height: int) -> np.ndarray:
    from PIL import Image

    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR), np.float32)


def regions(raw_boxes: np.ndarray, raw_scores: np.ndarray, scale: float, offset: tuple[float, float]) -> list[Region]:
    """Rotated squares around the people that the detector's rows tell of, surest first (weighted non-maximum
    suppression).
    """
    score = _sigmoid(raw_scores.reshape(-1))
    sure = np.flatnonzero(score >= MIN_SCORE)
    centre = anchors()[sure]
    raw = raw_boxes.reshape(-1, 12)[sure] / DETECTOR_SIZE
    points = raw[:, 4:8].reshape(-1, 2, 2) + centre[:, None]
    boxes = np.concatenate([centre + raw[:, :2] - raw[:, 2:4] / 2, centre + raw[:, :2] + raw[:, 2:4] / 2], 1)
    kept, order = [], list(np.argsort(-score[sure]))
    while order:
        best = order[0]
        similar = [i for i in order if _iou(boxes[best], boxes[i]) > NMS_IOU]
        weight = score[sure][similar][:, None, None]
        hip, top = (points[similar] * weight).sum(0) / weight.sum()
        hip, top = ((p * DETECTOR_SIZE - offset) * scale for p in (hip, top))
        kept.append(_region(hip, top, float(score[sure][best])))
        order = [i for i in order if i not in similar]
    return kept


def _region(hip: np.ndarray, top: np.ndarray, score: float) -> Region:
    way = top - hip
    angle = np.pi / 2 - np.arctan2(-way[1], way[0])
    angle = (angle + np.pi) % (2 * np.pi) - np.pi
    return Region(float(hip[0]), float(hip[1]), float(2 * np.hypot(*way) * ROI_GROWTH), float(angle), score)


def _iou(a: np.ndarray, b: np.ndarray) -> float:
    wide, tall = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    if wide <= 0 or tall <= 0:
        return 0.0
    return float(wide * tall / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - wide * tall))


def crop_region(image: np.ndarray, region: Region) -> tuple[np.ndarray, np.ndarray]:
    """float32 [1,256,256,3] in 0..1 of the region, and the matrix [2,3] from crop pixels (x, y, 1) to picture pixels.

    Outside the picture the border is repeated: a black border costs up to 60 pixels of error on half-body pictures.
    """
    factor = region.side / LANDMARK_SIZE
    c, s = np.cos(region.angle) * factor, np.sin(region.angle) * factor
    half = LANDMARK_SIZE / 2
    to_picture = np.array([[c, -s, region.x - c * half + s * half], [s, c, region.y - s * half - c * half]])
    # a picture much larger than the crop is smoothed first, or single pixels would stand for whole areas
    source = image.astype(np.float32)
    if factor > 2:
        source = ndimage.uniform_filter(source, (int(factor), int(factor), 1), mode="nearest")
    grid = np.arange(LANDMARK_SIZE) + 0.5
    x, y = np.meshgrid(grid, grid)
    px = to_picture[0, 0] * x + to_picture[0, 1] * y + to_picture[0, 2] - 0.5
    py = to_picture[1, 0] * x + to_picture[1, 1] * y + to_picture[1, 2] - 0.5
    planes = [ndimage.map_coordinates(source[..., k], [py, px], order=1, mode="nearest") for k in range(3)]
    return (np.stack(planes, -1)[None] / 255.0).astype(np.float32), to_picture


def read_landmarks(raw: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """[33,4]: x, y in crop pixels, refined with the heat maps, visibility, presence (0..1)."""
    raw = raw.reshape(39, 5).astype(np.float64)
    heat = _sigmoid(heat.reshape(64, 64, 39))
    result = np.concatenate([raw[:, :2], _sigmoid(raw[:, 3:])], 1)[:LANDMARKS]
    cell = LANDMARK_SIZE / 64
    for point, row in enumerate(result):
        column, line = int(row[0] / cell), int(row[1] / cell)
        if not (0 <= column < 64 and 0 <= line < 64):
            continue
        x0, x1, y0, y1 = max(0, column - 3), min(64, column + 4), max(0, line - 3), min(64, line + 4)
        window = heat[y0:y1, x0:x1, point]
        if window.max() >= 0.5:
            y, x = np.mgrid[y0:y1, x0:x1]
            row[:2] = cell * (window * x).sum() / window.sum(), cell * (window * y).sum() / window.sum()
    return result


def place_mask(logits: np.ndarray, to_picture: np.ndarray, width: int, height: int) -> np.ndarray:
    """bool [height,width]: the crop's mask put back into the picture."""
    probability = _sigmoid(logits.reshape(LANDMARK_SIZE, LANDMARK_SIZE))
    inverse = np.linalg.inv(np.vstack([to_picture, [0, 0, 1]]))
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    cx = inverse[0, 0] * x + inverse[0, 1] * y + inverse[0, 2] - 0.5
    cy = inverse[1, 0] * x + inverse[1, 1] * y + inverse[1, 2] - 0.5
    return ndimage.map_coordinates(probability, [cy, cx], order=1, mode="constant") > 0.5


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-np.clip(x.astype(np.float64), -80, 80)))


def to_coco18(landmarks: np.ndarray, width: int, height: int) -> np.ndarray:
    """float32 [18,3] COCO joints of [33,4] landmarks; joints that are unsure or outside the picture are (0, 0, 0).

    BlazePose extrapolates: a half-body picture gets ankles far below its border, with a low visibility.
    """
    confidence = landmarks[:, 2:4].min(1)
    joints = np.zeros((18, 3), np.float32)
    for joint, source in enumerate(FROM_BLAZEPOSE):
        if source is None:
            x, y = landmarks[[11, 12], :2].mean(0)
            sure = confidence[[11, 12]].min()
        else:
            (x, y), sure = landmarks[source, :2], confidence[source]
        if sure >= MIN_CONFIDENCE and 0 <= x < width and 0 <= y < height:
            joints[joint] = x, y, sure
    return joints


def guessed_coco18(landmarks: np.ndarray) -> np.ndarray:
    """float32 [18,3] like `to_coco18`, with every joint at the place the network guesses, outside the picture too.

    For label maps, which are cut to the silhouette anyway; never for a drawn pose.
    """
    joints = np.ones((18, 3), np.float32)
    for joint, source in enumerate(FROM_BLAZEPOSE):
        joints[joint, :2] = landmarks[[11, 12], :2].mean(0) if source is None else landmarks[source, :2]
    return joints
