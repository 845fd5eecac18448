"""The photo parser: shapes, ImageNet's trunk, joint maps, frames round a person, its file."""

import numpy as np
import pytest
import torch
from atelier.craft.body.keypoints import MIRRORED
from atelier.models.studio import person_frame as pf
from atelier.models.studio import photo_parser as net

SMALL = net.ParserConfig(whole=48, layers=1, heads=4, widths=(32, 24, 16))


def standing(left=100.0, top=40.0, torso=60.0) -> np.ndarray:
    """Joints [18,3] of somebody who stands upright."""
    places = {0: (0, -0.4), 1: (0, 0), 2: (-0.3, 0), 3: (-0.4, 0.5), 4: (-0.4, 1), 5: (0.3, 0), 6: (0.4, 0.5),
              7: (0.4, 1), 8: (-0.2, 1), 9: (-0.2, 1.9), 10: (-0.2, 2.7), 11: (0.2, 1), 12: (0.2, 1.9), 13: (0.2, 2.7),
              14: (-0.05, -0.45), 15: (0.05, -0.45), 16: (-0.1, -0.4), 17: (0.1, -0.4)}  # fmt: skip
    return np.array([(left + x * torso, top + y * torso, 1.0) for x, y in places.values()], np.float32)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return net.PhotoParser().eval()


def test_it_is_small_and_answers_at_half_size(network):
    assert sum(p.numel() for p in network.parameters()) < 4_000_000
    with torch.inference_mode():
        answer = network(torch.rand(2, 3, 96, 64))
    assert answer.scores.shape == (2, len(net.CLASSES), 48, 32) and answer.occurs.shape == (2, len(net.CLASSES))


def test_the_trunk_is_torchvisions():
    """The same keys, strictly, and the same features."""
    from atelier.dev.setup.torchvision_ops import make_importable

    make_importable()
    from torchvision.models import mobilenet_v2

    torch.manual_seed(1)
    theirs, ours = mobilenet_v2(weights=None).eval(), net.MobileNetV2().eval()
    ours.load_imagenet(theirs.state_dict())
    picture = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(ours.features(picture), theirs.features[:18](picture))
    state = dict(theirs.state_dict())
    del state["features.3.conv.0.0.weight"]
    with pytest.raises(ValueError, match="not those of torchvision's MobileNetV2"):
        ours.load_imagenet(state)


def test_joint_maps_mark_joints_and_bones_that_are_known():
    joints = torch.from_numpy(standing(64, 60, 40))[None].repeat(2, 1, 1)
    joints[1, 9] = 0
    maps = net.joint_maps(joints, 256, 128, 8)
    assert maps.shape == (2, net.MAPS, 32, 16)
    for joint in range(18):
        y, x = divmod(int(maps[0, joint].argmax()), 16)
        assert abs((x + 0.5) * 8 - joints[0, joint, 0]) <= 4.01 and abs((y + 0.5) * 8 - joints[0, joint, 1]) <= 4.01
    lost = [9, *(18 + k for k, bone in enumerate(net.BONES) if 9 in bone)]
    assert [k for k in range(net.MAPS) if maps[1, k].max() == 0] == lost
    thigh = maps[0, 18 + net.BONES.index((8, 9))]
    middle = (joints[0, 8, :2] + joints[0, 9, :2]) / 2 / 8
    assert thigh[int(middle[1]), int(middle[0])] > 0.7  # at most half a cell away


def test_joints_change_the_answer(network):
    picture, mine = torch.rand(1, 3, 128, 64), torch.from_numpy(standing(32, 30, 22))[None]
    other = mine.clone()
    other[..., 0] = 64 - other[..., 0] / 2
    with torch.inference_mode():
        nobody, seen, moved = (network(picture, joints).scores for joints in (None, mine, other))
        absent = network(picture, torch.zeros(1, 18, 3)).scores
    assert torch.equal(nobody, absent)
    assert (seen - nobody).abs().max() > 1e-3 and (seen - moved).abs().max() > 1e-3


def test_the_mirror_image_counts_as_much(network):
    """The mean of both views is itself mirrored when picture and joints are."""
    picture, joints = torch.rand(1, 3, 128, 64), torch.from_numpy(standing(28, 30, 22))[None]
    turned = joints[:, list(MIRRORED)].clone()
    turned[..., 0] = 64 - turned[..., 0]
    odds, mirrored = net.frame_scores(network, picture, joints), net.frame_scores(network, picture.flip(-1), turned)
    assert torch.allclose(odds, mirrored.flip(-1), atol=1e-4)
    assert not torch.allclose(odds, net.frame_scores(network, picture, joints, mirror=False), atol=1e-4)
    assert net.MIRRORED == MIRRORED


def test_top_and_outer_win_together():
    odds = torch.zeros(1, len(net.CLASSES), 1, 2)
    odds[0, net.CLASSES.index("dress")] = 0.4
    odds[0, net.CLASSES.index("top")] = torch.tensor([0.35, 0.25])
    odds[0, net.CLASSES.index("outer")] = torch.tensor([0.25, 0.1])
    assert [net.CLASSES[k] for k in net.decide(odds)[0, 0]] == ["top", "dress"]
    odds[0, net.CLASSES.index("outer"), 0, 1] = 0.35
    assert [net.CLASSES[k] for k in net.decide(odds)[0, 0]] == ["top", "outer"]


def test_a_frame_holds_the_person_and_finds_its_way_back():
    joints = standing(150, 100, 80)
    frame = pf.frame_round(pf.person_box(joints, 300, 400), 256)
    assert (frame.width, frame.height) == (128, 256)
    inside = frame.joints(joints)
    assert (inside[:, 2] > 0).all()
    back = inside[:, :2] * frame.scale + (frame.left, frame.top)
    assert np.allclose(back, joints[:, :2], atol=1e-3)
    rows, columns = torch.meshgrid(torch.arange(400.0), torch.arange(300.0), indexing="ij")
    picture = torch.stack([columns / 300, rows / 400])[None] + 0.5 / 400
    again = pf.put_back(pf.crop(picture, frame), frame, 300, 400)
    deep = pf.inside(frame, 300, 400).clone()
    deep[:10], deep[-10:], deep[:, :10], deep[:, -10:] = False, False, False, False
    assert deep.float().mean() > 0.3 and (again - picture)[0, :, deep].abs().max() < 0.02


def test_hidden_ankles_and_unknown_bodies_widen_the_box():
    joints = standing(150, 100, 80)
    hidden = joints.copy()
    hidden[[9, 10, 12, 13]] = 0
    assert pf.person_box(hidden, 300, 500)[3] >= joints[10, 1]
    nobody = np.zeros((18, 3), np.float32)
    assert pf.person_box(nobody, 300, 400) == (0, 0, 300, 400)


@pytest.mark.parametrize("aspect", [0.2, 0.5, 0.8, 1.0, 1.7, 4.0])
def test_frames_have_one_area_and_sides_that_fit_the_network(aspect):
    width, height = pf.frame_size(aspect, 512)
    assert width % 32 == height % 32 == 0 and abs(width * height / (512 * 256) - 1) < 0.16
    assert abs(np.log(width / height / np.clip(aspect, 0.5, 2))) < 0.2


def test_a_photograph_of_any_size_is_parsed_and_the_ground_outside_the_frame_is_ground():
    torch.manual_seed(0)
    network = net.PhotoParser(SMALL).eval()
    picture = np.random.default_rng(0).integers(0, 255, (231, 401, 3)).astype(np.uint8)
    labels = net.parse_photo(network, picture, standing(60, 40, 40), long=128)
    assert labels.shape == (231, 401) and labels.dtype == np.uint8
    assert (labels[:, 200:] == 0).all() and (labels[:, :120] > 0).any()


def test_the_file_gives_the_network_back_and_strangers_are_refused(tmp_path, network):
    from safetensors.torch import save_file

    path = tmp_path / "photo_parser.safetensors"
    net.save_network(network, path)
    assert path.stat().st_size < 8_000_000
    again, picture = net.load_network(path), torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        ours, theirs = network(picture).scores, again(picture).scores
        assert torch.allclose(ours, theirs, atol=0.05 * float(ours.abs().max()))
    save_file({"x": torch.zeros(1)}, str(tmp_path / "other.safetensors"))
    (tmp_path / "text.safetensors").write_text("nothing")
    for name in ("other.safetensors", "text.safetensors", "missing.safetensors"):
        with pytest.raises(ValueError, match="is no photo parser"):
            net.load_network(tmp_path / name)
