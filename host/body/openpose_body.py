"""The controlnet-aux backend of Detect Body: OpenPose's body network from a local file, run by that package's own code.

The package (`controlnet-aux`, optional) brings the network's definition and the joining of joints to people; the
weights come from a file in a registered folder and are held by the host's memory management. Its DWPose needs compiled
parts (mmcv, mmdet, mmpose) and is not used.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import warnings
from pathlib import Path
from typing import Any

import comfy.model_management as management
import numpy as np
import torch
from PIL import Image

from .. import folders
from ..managed_network import patcher_class
from .found import Backend, Found, from_joints

PACKAGE, PIN = "controlnet_aux", "controlnet-aux==0.0.10"
KIND = "openpose"
FILES = ("body_pose_model.safetensors", "body_pose_model.pth")
SHORT_SIDE = 512  # pictures are looked at with this short side; the network itself then takes 184 rows
SOURCE = "controlnet-aux: OpenPose"


def openpose_file() -> Path | None:
    """The weights in the registered folders (ComfyUI/models/atelier/openpose), safetensors before .pth."""
    found = [Path(folder) / name for name in FILES for folder in folders.paths(KIND)]
    return next((path for path in found if path.is_file()), None)


def openpose_problem() -> str | None:
    """Why the backend cannot run, or None."""
    if importlib.util.find_spec(PACKAGE) is None:
        return (
            "The controlnet-aux backend needs that package: run `pip install --no-deps"
            f" {PIN}` and `pip install opencv-python-headless scikit-image timm` with ComfyUI's Python."
        )
    if openpose_file() is None:
        return (
            f"The controlnet-aux backend needs OpenPose's body weights: put {FILES[0]} or {FILES[1]} into"
            f" {folders.pretty(KIND)}."
        )
    return None


def openpose_backend(person: int = 0) -> Backend:
    """Ready to run. Raises ValueError with what is missing and how to get it."""
    problem = openpose_problem()
    if problem:
        raise ValueError(problem)
    with warnings.catch_warnings():  # the package warns of its other detectors' wishes
        warnings.simplefilter("ignore")
        try:
            from controlnet_aux.open_pose import body
        except Exception as error:
            raise ValueError(
                f"The package controlnet-aux is installed but does not import ({error}); reinstall it: {PIN}."
            ) from error
    network = body.bodypose_model()
    load_weights(network, openpose_file())
    estimator = body.Body.__new__(body.Body)  # its own constructor would unpickle the file
    estimator.model = network.eval().requires_grad_(False)
    return run_with(estimator, person)


def load_weights(network: torch.nn.Module, path: Path) -> None:
    """Fill the network. Published files name their tensors without the block ("conv1_1.weight" for
    "model0.conv1_1.weight"); both are read. A .pth file is read as tensors only, no code in it can run.

    Raises ValueError when the file is another network's.
    """
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        tensors = load_file(str(path))
    else:
        try:
            tensors = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:
            raise ValueError(
                f"{path.name} cannot be read as plain tensors; get OpenPose's body_pose_model anew or convert it with"
                " `python dev.py convert`."
            ) from error
    tensors = tensors.get("state_dict", tensors)
    wanted = network.state_dict()
    filled = {key: tensors.get(key, tensors.get(key.partition(".")[2])) for key in wanted}
    unfit = [key for key, value in filled.items() if value is None or value.shape != wanted[key].shape]
    if unfit:
        raise ValueError(
            f"{path.name} is no OpenPose body network ({unfit[0]} is absent or of another shape); put body_pose_model"
            f" into {folders.pretty(KIND)}."
        )
    network.load_state_dict(filled)


def run_with(estimator: Any, person: int = 0) -> Backend:
    """A backend round controlnet-aux' body estimator; its network is moved by the host's memory management."""
    patcher = patcher_class()(
        estimator.model, load_device=management.get_torch_device(), offload_device=management.unet_offload_device()
    )

    @torch.no_grad()
    def run(image: np.ndarray) -> Found:
        management.load_model_gpu(patcher)
        height, width = image.shape[:2]
        scale = SHORT_SIDE / min(height, width)
        small = Image.fromarray(image).resize((round(width * scale), round(height * scale)), Image.Resampling.LANCZOS)
        candidates, rows = estimator(np.asarray(small)[:, :, ::-1].copy())  # it wants blue first
        people = np.zeros((len(rows), 18, 3), np.float32)
        for joints, row in zip(people, rows):
            seen = row[:18] >= 0
            joints[seen] = candidates[row[:18][seen].astype(int), :3]
            joints[:, :2] /= scale
        people[..., 2] = people[..., 2].clip(0, 1)
        if not len(people):
            return Found(people, None, None, None, SOURCE, ("nobody was found",))
        return from_joints(people, person, width, height, SOURCE)

    return run
