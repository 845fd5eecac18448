"""What `bench body` measures with: agreement of joints, the guesser, the second network's graph runner."""

import base64
import json

import numpy as np
import pytest
import torch
from atelier.dev.bench import bench_body
from atelier.dev.bench.movenet import MoveNet, _convolution


def people(*shifts):
    base = np.ones((1, 18, 3), np.float32)
    base[0, :, :2] = np.random.default_rng(0).random((18, 2)) * 100
    base[0, 1, :2], base[0, 8, :2], base[0, 11, :2] = (50, 0), (40, 100), (60, 100)
    return [base + np.array([shift, 0, 0], np.float32) for shift in shifts]


def test_agreement_is_measured_in_torsos_and_against_the_next_picture():
    found = people(0, 400)
    same = bench_body.agreement("x", found, found)
    near = bench_body.agreement("x", found, people(4, 404))
    far = bench_body.agreement("x", found, people(30, 430))
    assert same["photos: median distance to x, pixels"] == 0 and same["photos: PCK@0.1 against x"] == 1
    assert near["photos: median distance to x, pixels"] == pytest.approx(4) and near["photos: PCK@0.1 against x"] == 1
    assert far["photos: PCK@0.1 against x"] == 0
    assert all(r["photos: PCK@0.1 against x, control: the next picture"] == 0 for r in (same, near, far))


def test_the_guesser_finds_what_is_there_and_nothing_else():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 4, 200)
    noise = rng.standard_normal((200, 30))
    told = noise + np.eye(4)[truth] @ rng.standard_normal((4, 30)) * 3
    assert bench_body.guessed(told, truth) > 0.9
    assert bench_body.guessed(noise, truth) < 0.45


def text(word):
    return base64.b64encode(word.encode()).decode()


@pytest.mark.parametrize("stride", [1, 2])
def test_tensorflows_padding(stride):
    """SAME at stride 2 pads an even picture on the far side only; a 3x3 kernel of ones counts what it covers."""
    node = {"op": "_FusedConv2D", "attr": {
        "strides": {"list": {"i": ["1", str(stride), str(stride), "1"]}}, "padding": {"s": text("SAME")},
        "fused_ops": {"list": {"s": [text("BiasAdd"), text("Relu6")]}},
    }}  # fmt: skip
    made = _convolution(node, [torch.ones(1, 4, 4, 1), torch.ones(3, 3, 1, 1), torch.tensor([-1.0])])[0, ..., 0]
    first = 4 if stride == 1 else 9
    assert made.shape == (4 // stride, 4 // stride)
    assert made[0, 0] == min(first - 1, 6) and made[-1, -1] == 3


def test_a_graph_file_is_read_and_run(tmp_path):
    """A graph that answers with its constant joints: half-precision weights, named outputs, the way back to pixels."""
    joints = np.zeros((1, 1, 17, 3), np.float32)
    joints[..., 0], joints[..., 1], joints[..., 2] = 0.25, 0.5, 0.8
    joints[0, 0, 10, 2] = 0.1  # a wrist that it is not sure of
    nodes = [
        {"name": "input", "op": "Placeholder", "attr": {"shape": {"shape": {"dim": [{"size": "1"}, {"size": "64"}]}}}},
        {"name": "joints", "op": "Const"},
        {"name": "axis", "op": "Const"},
        {"name": "rows", "op": "Unpack", "input": ["joints"], "attr": {"axis": {"i": "0"}}},
        {"name": "out", "op": "ExpandDims", "input": ["rows:0", "axis", "^input"]},
    ]
    weights = [
        {"name": "joints", "shape": [1, 1, 17, 3], "dtype": "float32", "quantization": {"dtype": "float16"}},
        {"name": "axis", "shape": [], "dtype": "int32"},
    ]
    graph = {"modelTopology": {"node": nodes}, "weightsManifest": [{"paths": ["net.bin"], "weights": weights}]}
    (tmp_path / "net.json").write_text(json.dumps(graph))
    (tmp_path / "net.bin").write_bytes(joints.astype(np.float16).tobytes() + np.int32(0).tobytes())
    found = MoveNet(tmp_path / "net.json")(np.zeros((128, 64, 3), np.uint8))
    assert found.shape == (18, 3) and found[4].tolist() == [0, 0, 0]
    assert np.allclose(found[0], (32, 32, 0.8), atol=1e-3)  # the middle column, a quarter down of 128 rows
    nodes[-1]["op"] = "Cumsum"
    (tmp_path / "net.json").write_text(json.dumps(graph))
    with pytest.raises(ValueError, match="Cumsum"):
        MoveNet(tmp_path / "net.json")(np.zeros((8, 8, 3), np.uint8))


def test_a_photograph_and_its_mirror_agree():
    from atelier.host.body.body_backends import open_backend, photo_problem

    if photo_problem():
        pytest.skip(photo_problem())
    picture = pytest.importorskip("skimage.data").astronaut()
    backend = open_backend("photo")
    found, mirrored = backend(picture).people, bench_body.mirrored_joints(backend, picture)
    figures = bench_body.agreement("x", [found], [mirrored])
    assert figures["photos: PCK@0.1 against x"] > 0.7
    wrong = bench_body.agreement("x", [found], [backend(np.ascontiguousarray(picture[:, ::-1])).people])
    assert wrong["photos: PCK@0.1 against x"] < 0.5  # the control: not turned back
