"""The attribute classifier: where it looks, what it is told of a figure, its file, its recipe, its shipped weights."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from atelier.croquis import random_figure, render
from atelier.dev.train import attribute_classifier as recipe
from atelier.models.studio import attribute_classifier as net

TINY = net.ClassifierConfig(
    {"outfit": recipe.HEADS["outfit"], "collar": recipe.HEADS["collar"]}, (8, 8, 8), (2, 2, 2, 2), 34, 16
)


@pytest.fixture(scope="module")
def pool():
    """Twelve figures without round trips."""
    drawn = [recipe.draw(seed) for seed in range(300, 312)]
    pictures, joints, numbers = (np.stack([one[i] for one in drawn]) for i in range(3))
    return recipe.Pool(torch.from_numpy(pictures), torch.from_numpy(joints).float(), torch.from_numpy(numbers))


def test_the_places_go_with_the_body():
    joints = torch.from_numpy(render(random_figure(3), want=("person",)).keypoints)[None].float()
    moved = joints.clone()
    moved[..., :2] = 0.5 * moved[..., :2] + torch.tensor([7.0, -3.0])
    for places, others in zip(net.cut_places(joints), net.cut_places(moved), strict=True):
        torch.testing.assert_close(others, 0.5 * places + torch.tensor([7.0, -3.0]), rtol=0, atol=1e-3)
    arms = net.cut_places(joints)[net.CUTS.index("arm")]
    for side, limb in enumerate(net.ARMS):
        for joint in limb:
            assert (arms[side] - joints[0, joint, :2]).norm(dim=-1).min() < 2
    assert [tuple(c.shape[-2:]) for c in net.cuts(torch.zeros(1, 3, 256, 192), joints)] == list(net.SIZES)
    raised = joints.clone()
    raised[0, 4, 1] -= 40
    changed = [not torch.equal(a, b) for a, b in zip(net.cut_places(joints), net.cut_places(raised), strict=True)]
    assert dict(zip(net.CUTS, changed, strict=True)) == {**dict.fromkeys(net.CUTS, False), "arm": True}


def test_a_mirrored_figure_has_mirrored_cuts():
    """What is outside on the right arm is outside on the left one; neck, torso and legs turn round."""
    figure = render(random_figure(4), want=("person",))
    picture = torch.from_numpy(figure.person).permute(2, 0, 1)[None].float() / 255
    joints = torch.from_numpy(figure.keypoints)[None].float()
    turned = joints[:, list(recipe.MIRRORED)].clone()
    turned[..., 0] = net.WIDTH - turned[..., 0]
    cuts, others = net.cuts(picture, joints), net.cuts(picture.flip(3), turned)
    for name, cut, other in zip(net.CUTS, cuts, others, strict=True):
        same = other.flip(0) if name == "arm" else other.flip(3)
        torch.testing.assert_close(cut, same, rtol=0, atol=2e-3)
        assert (cut - other).abs().max() > 0.05


def test_attributes_are_those_of_the_caption():
    from atelier.croquis.captions import COLLAR_WORDS, HEM_WORDS, LENGTH_WORDS, SLEEVE_LENGTH_WORDS, figure_caption

    for seed in range(40):
        spec = random_figure(seed)
        said, words = recipe.attributes_of(spec), figure_caption(spec)
        assert words["attributes"][0] == LENGTH_WORDS[said["length"]]
        assert words["attributes"][1] == SLEEVE_LENGTH_WORDS[said["sleeve length"]]
        assert words["attributes"][3] == COLLAR_WORDS[said["collar"]]
        assert words["attributes"][4] == HEM_WORDS[said["hem"]]
        assert ("sleeve type" in said) == (said["sleeve length"] != "sleeveless")
        assert said["top colour"] in words["concept"] and said["bottom colour"] in words["concept"]
        numbers = dict(zip(recipe.HEADS, recipe.numbered(said), strict=True))
        assert all(recipe.HEADS[name][number] == said[name] for name, number in numbers.items() if number >= 0)
        assert {name for name, number in numbers.items() if number < 0} == recipe.HEADS.keys() - said.keys()


def test_a_figure_in_layers_is_refused():
    with pytest.raises(ValueError, match="expected a top and a bottom, or an overall"):
        recipe.attributes_of(random_figure(1, ("upper", "lower", "upper")))
    with pytest.raises(ValueError, match="expected a top and a bottom"):
        recipe.attributes_of(random_figure(1, ("upper",)))


def test_views_keep_picture_and_joints_together(pool):
    """What lies at a joint of a view is what lies at that joint, or at its mirror image, in the picture."""
    dots = torch.zeros_like(pool.pictures)
    for row in range(12):
        x, y = pool.joints[row, 4, :2].round().long().tolist()
        dots[row, y - 5 : y + 6, x - 5 : x + 6] = 255
    marked = replace(pool, pictures=dots)
    right = left = 0
    for seed in range(3):
        picture, joints, _ = recipe.views(marked, torch.arange(12), torch.Generator().manual_seed(seed))
        for row in range(12):
            for joint in (4, 7):
                x, y = joints[row, joint, :2].round().long().tolist()
                if 0 <= x < net.WIDTH and 0 <= y < net.HEIGHT and picture[row, :, y, x].mean() > 0.7:
                    right, left = right + (joint == 4), left + (joint == 7)
    assert right + left > 28, "the marked hand is not where the view's joints say"
    assert min(right, left) > 5, "no view is mirrored, or every one is"


def test_views_keep_colours(pool):
    picture, _, _ = recipe.views(pool, torch.arange(12), torch.Generator().manual_seed(1))
    middle = (slice(None), slice(None), slice(90, 120), slice(86, 106))
    before = pool.pictures.permute(0, 3, 1, 2).float()[middle].mean((2, 3)) / 255
    assert (picture[middle].mean((2, 3)) - before).abs().median() < 0.05


def test_the_recipe_learns_a_pool_by_heart(pool):
    """In a few steps the loss on the pool falls to a fraction; with the answers of other figures it does not."""
    torch.manual_seed(0)
    module = recipe.ClassifierTraining(steps=30, config=TINY)
    columns = [list(recipe.HEADS).index(name) for name in TINY.heads]
    numbers = pool.numbers[:, columns].long()
    picture = pool.pictures.permute(0, 3, 1, 2).float() / 255
    picture, numbers, joints = picture[:6], numbers[:6], pool.joints[:6]
    optimiser = torch.optim.AdamW(module.network.parameters(), 1e-2)

    def loss(answers):
        heads = module.network(picture, joints).values()
        return sum(torch.nn.functional.cross_entropy(a, answers[:, i]) for i, a in enumerate(heads))

    first = float(loss(numbers).detach())
    for _ in range(30):
        optimiser.zero_grad()
        value = loss(numbers)
        value.backward()
        optimiser.step()
    assert float(value.detach()) < 0.3 * first
    assert float(loss(numbers.roll(2, 0)).detach()) > first


def test_a_run_from_weights_begins_with_them(pool):
    trained, module = recipe.ClassifierTraining().network, recipe.ClassifierTraining()
    with torch.no_grad():
        for value in trained.parameters():
            value.add_(0.25)
    module.start_from(trained)
    for network in (module.network, module.average.module):
        assert all(torch.equal(value, trained.state_dict()[name]) for name, value in network.state_dict().items())


def test_the_file_gives_the_network_back_and_strangers_are_refused(tmp_path):
    from safetensors.torch import save_file

    torch.manual_seed(1)
    network = net.AttributeClassifier(TINY).eval()
    net.save_classifier(network, tmp_path / "own.safetensors", "nothing")
    again = net.load_classifier(tmp_path / "own.safetensors")
    picture = torch.rand(2, 3, net.HEIGHT, net.WIDTH)
    joints = torch.from_numpy(np.stack([render(random_figure(s), want=("person",)).keypoints for s in (1, 2)])).float()
    with torch.inference_mode():
        for name, logits in network(picture, joints).items():
            torch.testing.assert_close(again(picture, joints)[name], logits, rtol=0.02, atol=0.02)
    assert again.read(picture, joints)[0].keys() == TINY.heads.keys()
    save_file({"x": torch.zeros(1)}, str(tmp_path / "other.safetensors"))
    with pytest.raises(ValueError, match="no attribute classifier"):
        net.load_classifier(tmp_path / "other.safetensors")
    assert (
        sum(p.numel() for p in net.AttributeClassifier(net.ClassifierConfig(dict(recipe.HEADS))).parameters()) < 580_000
    )


def test_the_shipped_weights_read_held_out_figures():
    from atelier.dev.bench import design_measures

    classifier = net.load_classifier(recipe.WEIGHTS / "attribute_classifier.safetensors")
    specs = [random_figure(seed) for seed in range(400_000, 400_024)]
    drawn = [render(spec, want=("person",)) for spec in specs]
    pictures = torch.from_numpy(np.stack([one.person for one in drawn])).permute(0, 3, 1, 2).float() / 255
    joints = np.stack([one.keypoints for one in drawn])
    asked = [recipe.attributes_of(spec) for spec in specs]
    shown, _ = design_measures.read(classifier, pictures, joints)
    assert design_measures.mean_accuracy(design_measures.accuracies(shown, asked)) > 0.82
    turned = asked[1:] + asked[:1]
    assert design_measures.mean_accuracy(design_measures.accuracies(shown, turned)) < 0.5
