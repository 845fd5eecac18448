"""The studio body network: shapes, reading joints, its file, its training views, and the shipped weights on drawn
figures.
"""

import numpy as np
import pytest
import torch
from atelier.craft.body.keypoints import MIRRORED
from atelier.craft.body.labels import ATR, PARTS, mirrored
from atelier.models.studio import body_network as net


@pytest.fixture(scope="module")
def recipe():
    from atelier.dev.setup.torchvision_ops import make_importable

    make_importable()
    from atelier.dev.train.body import body

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
    assert answer.parts.shape == answer.garments.shape == (2, 18, 256, 192)


def test_joints_are_read_back_from_their_heat_maps():
    generator = torch.Generator().manual_seed(0)
    joints = torch.rand(3, 18, 3, generator=generator) * torch.tensor([160.0, 220.0, 0.0]) + torch.tensor(
        [16.0, 18.0, 1.0]
    )
    joints[1, 4] = 0
    heat = torch.logit(net.joint_heat(joints).clamp(1e-4, 1 - 1e-4))
    found = net.read_joints(heat)
    assert found[1, 4].tolist() == [0, 0, 0]
    there = joints[..., 2].numpy() > 0
    assert np.abs(found[there][:, :2] - joints.numpy()[there][:, :2]).max() < 1.2


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
        assert picture.shape == (4, 3, 256, 192) and picture.min() >= 0 and picture.max() <= 1
        assert parts.max() < 18 and garments.max() < 18
        for row in range(4):
            for joint, side in pairs.items():
                x, y, there = joints[row, joint].tolist()
                if there:
                    name = PARTS[int(parts[row, min(255, int(y)), min(191, int(x))])]
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


@pytest.mark.slow
def test_a_few_steps_lower_the_loss(recipe, figures):
    torch.manual_seed(0)
    module = recipe.BodyTraining()
    module.log_dict = lambda *a, **k: None
    figures = recipe.draw_figures(20, 4, net.WIDTH // net.HALF, net.HEIGHT // net.HALF)
    optimizer = torch.optim.AdamW(module.trained(), 3e-3)
    generator = torch.Generator().manual_seed(2)
    losses = []
    for _ in range(8):
        loss = module.training_step(recipe.views(figures, torch.arange(4), generator), 0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.85 * losses[0]


@pytest.mark.slow
def test_the_label_heads_alone_are_trained_afterwards(recipe, figures):
    torch.manual_seed(0)
    module = recipe.OutlineTraining(recipe.Recipe(), 6, net.BodyNetwork(net.BodyConfig((8, 8, 16, 16, 16), outline=8)))
    module.log_dict = lambda *a, **k: None
    before = {key: value.clone() for key, value in module.network.state_dict().items()}
    module.network.eval()
    optimizer = torch.optim.AdamW(module.trained(), 1e-2)
    generator = torch.Generator().manual_seed(2)
    losses = []
    for _ in range(6):
        loss = module.training_step(recipe.views(figures, torch.arange(2), generator), 0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    changed = {key for key, value in module.network.state_dict().items() if not torch.equal(value, before[key])}
    assert {key.split(".")[0] for key in changed} == {"outline", "labels"}
    assert losses[-1] < losses[0]


def test_missed_overlap_counts_small_parts_as_much_as_large_ones(recipe):
    """Sure answers, 100 pixels of class 0 and 4 of class 1: half of the small class missed."""
    truth = torch.zeros(1, 8, 13, dtype=torch.long)
    truth[0, 0, :4] = 1
    found = truth.clone()
    found[0, 0, :2] = 0
    sure = 50 * torch.nn.functional.one_hot(found, 3).permute(0, 3, 1, 2).float()
    assert recipe.missed_overlap(sure, truth).item() == pytest.approx(1 - (100 / 102 + 2 / 4) / 2, abs=1e-4)
    right = 50 * torch.nn.functional.one_hot(truth, 3).permute(0, 3, 1, 2).float()
    assert recipe.missed_overlap(right, truth).item() == pytest.approx(0, abs=1e-4)


class Seeing(torch.nn.Module):
    """Sees "right hand" (10) where the picture is red, "left hand" (11) where green: swapped when it is mirrored."""

    def forward(self, picture):
        red, green = picture[:, 0], picture[:, 1]
        scores = torch.zeros(len(picture), 18, *picture.shape[2:])
        scores[:, 10], scores[:, 11], scores[:, 0] = 9 * red, 9 * green, 4.5
        return net.Answer(red[:, None], scores, scores)


def test_views_are_put_back_in_place():
    picture = torch.zeros(1, 3, net.HEIGHT, net.WIDTH)
    picture[0, 0, 40:60, 30:50] = 1
    picture[0, 1, 200:, 150:] = 1
    keep = list(range(18))
    swap = mirrored(PARTS)
    single = Seeing()(picture).parts.argmax(1)
    plain = net.look(Seeing(), picture, (keep, keep)).parts.argmax(1)
    assert torch.equal(plain, single)
    # The swap is applied to the mirrored views only, so both hands then get the same score: the first of them wins.
    assert not torch.equal(net.look(Seeing(), picture, (swap, swap)).parts.argmax(1), single)
    assert torch.equal(torch.tensor(swap)[torch.tensor(swap)], torch.arange(18))


def test_the_shipped_weights_find_held_out_figures(recipe, figures):
    from atelier.dev.bench import bench_body
    from atelier.dev.train.run import WEIGHTS

    network = net.load_network(WEIGHTS / "body.safetensors")
    with torch.inference_mode():
        answer = net.look(network, figures.picture.float() / 255, (mirrored(PARTS), mirrored(ATR)))
    found = net.read_joints(answer.heat)
    assert bench_body.pck(found, figures.joints.numpy()) > 0.95
    assert bench_body.pck(np.roll(found, 1, 0), figures.joints.numpy()) < 0.8  # the control
    assert bench_body.mean_iou(answer.parts.argmax(1).byte(), figures.parts, 18) > 0.8
