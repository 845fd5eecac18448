"""The studio body network: shapes, reading joints, its file, its training views, and the shipped weights on drawn
figures.
"""

import numpy as np
import pytest
import torch
from atelier.craft.keypoints import MIRRORED
from atelier.craft.labels import ATR, PARTS
from atelier.models.body import studio_network as net


@pytest.fixture(scope="module")
def recipe():
    from atelier.tools.torchvision_ops import make_importable

    make_importable()
    from atelier.training import body

    return body


@pytest.fixture(scope="module")
def figures(recipe):
    return recipe.draw_figures(20, 4)


def test_the_network_is_small_and_answers_at_the_sizes_it_says():
    network = net.BodyNetwork().eval()
    assert sum(p.numel() for p in network.parameters()) < 1_000_000
    with torch.inference_mode():
        answer = network(torch.rand(2, 3, net.HEIGHT, net.WIDTH))
    assert answer.heat.shape == (2, 18, 64, 48)
    assert answer.parts.shape == answer.garments.shape == (2, 18, 128, 96)


def test_joints_are_read_back_from_their_heat_maps():
    generator = torch.Generator().manual_seed(0)
    joints = torch.rand(3, 18, 3, generator=generator) * torch.tensor([80.0, 110.0, 0.0]) + torch.tensor(
        [8.0, 9.0, 1.0]
    )
    joints[1, 4] = 0
    heat = torch.logit(net.joint_heat(joints).clamp(1e-4, 1 - 1e-4))
    found = net.read_joints(heat)
    assert found[1, 4].tolist() == [0, 0, 0]
    there = joints[..., 2].numpy() > 0
    assert np.abs(found[there][:, :2] - joints.numpy()[there][:, :2]).max() < 0.6


def test_the_file_gives_the_network_back_and_strangers_are_refused(tmp_path):
    from safetensors.torch import save_file

    network = net.BodyNetwork(net.BodyConfig((8, 8, 16, 16, 16)))
    with torch.no_grad():
        for value in network.buffers():
            if value.is_floating_point():
                value.uniform_(0.5, 1.5)
    net.save_network(network, tmp_path / "body.safetensors")
    again = net.load_network(tmp_path / "body.safetensors")
    picture = torch.rand(1, 3, net.HEIGHT, net.WIDTH)
    with torch.inference_mode():
        for a, b in zip(network.eval()(picture), again(picture)):
            assert torch.allclose(a, b, atol=3e-2)
    save_file({"x": torch.zeros(1)}, str(tmp_path / "other.safetensors"))
    with pytest.raises(ValueError, match="no studio body network"):
        net.load_network(tmp_path / "other.safetensors")


def test_views_keep_picture_labels_and_joints_together(recipe, figures):
    """Every joint of a view lies in the part that it belongs to, mirrored views too."""
    generator = torch.Generator().manual_seed(1)
    pairs = {3: "right", 4: "right", 6: "left", 7: "left", 9: "right", 12: "left"}
    hits = total = 0
    for _ in range(6):
        picture, parts, garments, joints = recipe.views(figures, torch.arange(4), generator)
        assert picture.shape == (4, 3, 128, 96) and picture.min() >= 0 and picture.max() <= 1
        assert torch.equal(parts > 0, parts > 0) and garments.max() < 18
        for row in range(4):
            for joint, side in pairs.items():
                x, y, there = joints[row, joint].tolist()
                if there:
                    name = PARTS[int(parts[row, min(127, int(y)), min(95, int(x))])]
                    if name.startswith(("right", "left")):
                        total += 1
                        hits += name.startswith(side)
    assert total > 60 and hits / total > 0.95


def test_mirrored_labels_are_their_own_inverse(recipe):
    for names in (PARTS, ATR):
        table = recipe.mirrored_labels(names)
        assert torch.equal(table[table], torch.arange(256))
        assert any(table[n] != n for n in range(len(names)))
    assert [MIRRORED[m] for m in MIRRORED] == list(range(18))


def test_a_few_steps_lower_the_loss(recipe, figures):
    torch.manual_seed(0)
    module = recipe.BodyTraining()
    module.log_dict = lambda *a, **k: None
    optimizer = torch.optim.AdamW(module.network.parameters(), 3e-3)
    generator = torch.Generator().manual_seed(2)
    losses = []
    for _ in range(8):
        loss = module.training_step(recipe.views(figures, torch.arange(4), generator), 0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.85 * losses[0]


def test_the_shipped_weights_find_held_out_figures(recipe, figures):
    from atelier.tools import bench_body
    from atelier.training.run import WEIGHTS

    network = net.load_network(WEIGHTS / "body.safetensors")
    with torch.inference_mode():
        answer = network(figures.picture.float() / 255)
    found = net.read_joints(answer.heat)
    assert bench_body.pck(found, figures.joints.numpy()) > 0.85
    assert bench_body.pck(np.roll(found, 1, 0), figures.joints.numpy()) < 0.8  # the control
    assert bench_body.mean_iou(answer.parts.argmax(1).byte(), figures.parts, 18) > 0.6
