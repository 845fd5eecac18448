"""The Croquis node in the real host."""

import json

import numpy as np
import pytest
import torch

WISHES = {
    "outfit": "top and bottom", "top": "any", "bottom": "any", "dress": "any", "top_pattern": "stripes",
    "top_colour": "any", "bottom_pattern": "any", "bottom_colour": "any", "shoes": "none", "bag": "none",
    "stance": "any", "arms": "any",
}  # fmt: skip
OUTPUTS = ("person", "mask", "pose", "pose_keypoint", "parts", "part_labels", "garment_labels", "top",
           "bottom_or_dress", "jacket", "shoes", "bag", "swatch", "sketch",
           "caption", "concept", "attributes")  # fmt: skip


@pytest.fixture
def draw(host):
    from atelier.nodes.figure import Croquis

    def run(seed=7, outfit_seed=7, people=1, width=192, height=256, **wishes):
        return dict(
            zip(
                OUTPUTS,
                Croquis().execute(seed, outfit_seed, people, width, height, **{**WISHES, **wishes}),
                strict=True,
            )
        )

    return run


def test_shapes_ranges_and_kinds(draw):
    out = draw(people=2, width=120, height=160, shoes="any", bag="tote", outfit="top, bottom and open jacket")
    for name in ("person", "pose", "part_labels", "garment_labels", "sketch"):
        assert out[name].shape == (2, 160, 120, 3) and out[name].dtype == torch.float32
        assert out[name].min() >= 0.0 and 0.5 < out[name].max() <= 1.0
    assert out["mask"].shape == (2, 160, 120) and set(out["mask"].unique().tolist()) == {0.0, 1.0}
    for name in ("top", "bottom_or_dress", "jacket", "shoes", "bag"):
        assert out[name].shape == (1, 160, 120, 3) and out[name][0, 0, 0].tolist() == [1, 1, 1]
        assert (out[name] < 0.9).any()
    assert out["swatch"].shape[0] == 1 and out["swatch"].shape[1] == out["swatch"].shape[2]
    lines = out["attributes"].splitlines()
    assert len(lines) == 5 and out["caption"] == ", ".join([out["concept"], *lines])


def test_the_pose_is_the_communitys(draw):
    from atelier.craft.body import keypoints

    out = draw(people=3)
    json.dumps(out["pose_keypoint"])
    frames = keypoints.read_keypoints(out["pose_keypoint"], 192, 256)
    assert len(frames) == 3 and all(f.shape == (1, 18, 3) for f in frames)
    assert out["pose_keypoint"][0]["canvas_width"] == 192
    x, y = frames[0][0, 1, :2].round().astype(int)
    assert out["pose"][0, y, x].max() > 0.5, "the drawn neck lies at the joint"


def test_people_differ_and_wear_the_same(draw):
    both = draw(seed=3, outfit_seed=11, people=2)
    assert not torch.equal(both["person"][0], both["person"][1])
    second = draw(seed=4, outfit_seed=11)
    assert torch.equal(both["person"][1], second["person"][0])
    assert torch.equal(both["top"], second["top"])
    other = draw(seed=3, outfit_seed=12)
    assert torch.equal(other["pose"][0], both["pose"][0]) and not torch.equal(other["top"], both["top"])
    outside = both["mask"][0] == 0
    assert (other["person"][0][outside] == both["person"][0][outside]).all(-1).float().mean() > 0.995


def test_parts_feed_the_mask_nodes(draw):
    out = draw(seed=21)
    parts = out["parts"]
    assert parts.parts.shape == (1, 256, 192) and parts.parts.dtype == torch.uint8
    assert torch.equal(parts.person, parts.garments > 0)
    from atelier.craft.body.agnostic_mask import agnostic_mask
    from atelier.craft.body.body_parts import Body

    joints = np.asarray(out["pose_keypoint"][0]["people"][0]["pose_keypoints_2d"], np.float32).reshape(18, 3)
    body = Body(joints, 192, 256, parts.parts[0].numpy(), parts.garments[0].numpy())
    ours = agnostic_mask(body, ("upper", "lower"))
    from atelier.craft.body.labels import ATR, where

    clothes = where(body.garments, ("upper-clothes", "skirt", "pants"), ATR)
    assert (np.asarray(ours, bool) & clothes).sum() > 0.9 * clothes.sum()


def test_what_is_not_worn_is_a_blocked_output(run_graph, host):
    from atelier.nodes.figure import Croquis
    from comfy_execution.graph_utils import ExecutionBlocker

    out = dict(
        zip(OUTPUTS, Croquis().execute(1, 1, 1, 96, 128, **{**WISHES, "outfit": "dress or jumpsuit"}), strict=True)
    )
    assert isinstance(out["top"], ExecutionBlocker) and isinstance(out["bag"], ExecutionBlocker)
    assert "does not wear" in out["top"].message
    assert torch.is_tensor(out["bottom_or_dress"])


def test_a_bad_choice_is_one_sentence(draw):
    with pytest.raises(ValueError, match="must be one of"):
        draw(top="toga")


def test_cancel_stops_between_people(draw, monkeypatch):
    import comfy.model_management as management

    calls = []

    def stop():
        calls.append(1)
        if len(calls) == 2:
            raise management.InterruptProcessingException()

    monkeypatch.setattr(management, "throw_exception_if_processing_interrupted", stop)
    with pytest.raises(management.InterruptProcessingException):
        draw(people=5)
    assert len(calls) == 2


def test_in_a_graph(run_graph):
    graph = {
        "1": {
            "class_type": "AtelierCroquis",
            "inputs": {"seed": 5, "outfit_seed": 6, "people": 1, "width": 96, "height": 128, **WISHES},
        },
        "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
        "3": {"class_type": "PreviewImage", "inputs": {"images": ["1", 7]}},
    }
    result = run_graph(graph)
    assert len(result.outputs["2"]["images"]) == 1 and len(result.outputs["3"]["images"]) == 1
