"""The drawn skeleton that pose ControlNets and try-on networks were trained on.

Rule (HieraFashDiff's released demo, the OpenPose drawing): black canvas; every joint a filled disc of radius 4;
then 17 limbs in a fixed order, each a filled ellipse with half axes (length/2, 4) mixed as 0.4 canvas + 0.6 colour.
"""

import numpy as np
from PIL import Image, ImageDraw

# Pairs of COCO-18 joints, in drawing order; limb i and joint i share COLOURS[i].
LIMBS = (
    (1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10),
    (1, 11), (11, 12), (12, 13), (1, 0), (0, 14), (14, 16), (0, 15), (15, 17),
)  # fmt: skip
COLOURS = (
    (255, 0, 0), (255, 85, 0), (255, 170, 0), (255, 255, 0), (170, 255, 0), (85, 255, 0), (0, 255, 0), (0, 255, 85),
    (0, 255, 170), (0, 255, 255), (0, 170, 255), (0, 85, 255), (0, 0, 255), (85, 0, 255), (170, 0, 255), (255, 0, 255),
    (255, 0, 170), (255, 0, 85),
)  # fmt: skip
PUBLISHED_THICKNESS = 4
TORSO_OF_PUBLISHED_THICKNESS = 240.0  # neck-to-hip length, in pixels, of the figures that the 4 pixels were chosen for


def draw_pose(
    keypoints: np.ndarray, width: int, height: int, thickness: float | str = PUBLISHED_THICKNESS
) -> np.ndarray:
    """Draw COCO-18 keypoints as a coloured skeleton on black.

    keypoints: float [18,3] or [people,18,3]; x, y in pixels of the canvas, confidence; a joint with confidence <= 0 is
    absent.
    thickness: radius of joints and limbs in pixels (published: 4), or "body": in proportion to each torso.
    Returns uint8 [height,width,3] in RGB, the channel order the ControlNet gets.
    Raises ValueError for another shape of keypoints or a canvas without pixels.
    """
    people = np.asarray(keypoints, dtype=np.float64)
    if people.size == 0:
        people = np.zeros((0, 18, 3))
    if people.ndim == 2:
        people = people[None]
    if people.ndim != 3 or people.shape[1:] != (18, 3):
        raise ValueError(
            f"Keypoints have shape {list(np.shape(keypoints))}; a pose drawing needs [18,3] or [people,18,3]."
        )
    if width < 1 or height < 1:
        raise ValueError(f"The pose canvas is {width}x{height}; both sides must be at least 1 pixel.")
    canvas = np.zeros((height, width, 3), np.uint8)
    radii = [body_thickness(p) if thickness == "body" else float(thickness) for p in people]
    for joint, colour in enumerate(COLOURS):
        for person, radius in zip(people, radii, strict=True):
            _draw_joint(canvas, person[joint], radius, colour)
    for limb, colour in zip(LIMBS, COLOURS, strict=False):
        for person, radius in zip(people, radii, strict=True):
            _draw_limb(canvas, person[list(limb)], radius, colour)
    return canvas


def body_thickness(person: np.ndarray) -> float:
    """The published thickness in proportion to the torso (neck to hips, else shoulder width) of one [18,3] person."""
    hips = [person[i, :2] for i in (8, 11) if person[i, 2] > 0]
    if person[1, 2] > 0 and hips:
        torso = float(np.linalg.norm(np.mean(hips, axis=0) - person[1, :2]))
    elif person[2, 2] > 0 and person[5, 2] > 0:
        torso = 1.4 * float(np.linalg.norm(person[2, :2] - person[5, :2]))
    else:
        return float(PUBLISHED_THICKNESS)
    return max(1.0, PUBLISHED_THICKNESS * torso / TORSO_OF_PUBLISHED_THICKNESS)


def _draw_joint(canvas: np.ndarray, joint: np.ndarray, radius: float, colour: tuple[int, int, int]) -> None:
    if joint[2] <= 0:
        return
    x, y = int(joint[0]), int(joint[1])
    reach = int(radius) + 1
    view, left, top = _window(canvas, x - reach, y - reach, x + reach + 1, y + reach + 1)
    rows, cols = np.ogrid[top : top + view.shape[0], left : left + view.shape[1]]
    view[(cols - x) ** 2 + (rows - y) ** 2 <= radius * radius] = colour


def _draw_limb(canvas: np.ndarray, ends: np.ndarray, radius: float, colour: tuple[int, int, int]) -> None:
    if (ends[:, 2] <= 0).any():
        return
    (x0, y0), (x1, y1) = ends[0, :2], ends[1, :2]
    centre = np.array([int((x0 + x1) / 2), int((y0 + y1) / 2)], dtype=np.float64)
    half_length = int(np.hypot(x0 - x1, y0 - y1) / 2)
    angle = np.radians(int(np.degrees(np.arctan2(y0 - y1, x0 - x1))))
    turn = np.radians(np.arange(360))
    along, across = half_length * np.cos(turn), radius * np.sin(turn)
    outline = np.stack(
        [along * np.cos(angle) - across * np.sin(angle), along * np.sin(angle) + across * np.cos(angle)], 1
    )
    outline = np.rint(outline + centre).astype(int)
    left, top = outline.min(0)
    right, bottom = outline.max(0) + 1
    view, left, top = _window(canvas, left, top, right, bottom)
    if view.size == 0:
        return
    stencil = Image.new("1", (view.shape[1], view.shape[0]))
    ImageDraw.Draw(stencil).polygon([(x - left, y - top) for x, y in outline.tolist()], fill=1, outline=1)
    inside = np.asarray(stencil)
    view[inside] = np.rint(0.4 * view[inside] + 0.6 * np.asarray(colour)).astype(np.uint8)


def _window(canvas: np.ndarray, left: int, top: int, right: int, bottom: int) -> tuple[np.ndarray, int, int]:
    """The part of the canvas inside a box, and the corner where that part begins."""
    left, top = max(0, left), max(0, top)
    right, bottom = min(canvas.shape[1], right), min(canvas.shape[0], bottom)
    return canvas[top : max(top, bottom), left : max(left, right)], left, top
