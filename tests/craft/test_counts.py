"""One for all or one for each: the rule itself, and the nodes that follow it."""

import pytest
import torch
from atelier.craft.counts import check_count, common_count, own


def test_one_serves_all_and_one_for_each_is_its_own():
    for given in (1, 3):
        check_count(given, "poses", 3)
    assert common_count(pictures=1, poses=3, label_maps=None) == 3
    assert [own("a", 2), own("abc", 2)] == ["a", "c"]


@pytest.mark.parametrize("given", [0, 2, 4])
def test_any_other_number_is_a_sentence_with_both(given):
    with pytest.raises(ValueError, match=f"^3 people came with {given} poses; give one for all, or one for each.$"):
        check_count(given, "poses", 3, "people")


def test_things_that_meet_name_the_two_that_differ():
    with pytest.raises(ValueError, match=r"^3 poses came with 2 label maps; give one for all"):
        common_count(pictures=1, poses=3, label_maps=2)
    with pytest.raises(ValueError, match="came with 0 poses"):
        common_count(pictures=1, poses=0)


@pytest.fixture(scope="module")
def figure():
    from atelier.croquis import random_figure, render

    return render(random_figure(5))


def pose_of(figure, count: int):
    from atelier.craft.body.keypoints import to_pose_keypoint

    height, width = figure.person.shape[:2]
    return to_pose_keypoint([figure.keypoints[None]] * count, width, height)


def masks(pose, images):
    from atelier.nodes.masks import AgnosticMask

    kinds = AgnosticMask.INPUT_TYPES()
    given = {name: kind[1].get("default", "from the body") for name, kind in kinds["required"].items() if len(kind) > 1}
    given |= {"pose_keypoint": pose, "image": images, "mode": "from the body"}
    return AgnosticMask().execute(**given)["result"][0]


@pytest.mark.parametrize(("pictures", "poses"), [(3, 2), (2, 3)])
def test_agnostic_mask_refuses_counts_that_differ(figure, pictures, poses):
    image = torch.from_numpy(figure.person).float()[None] / 255
    with pytest.raises(ValueError, match=r"^3 \w+ came with 2 \w+; give one for all, or one for each"):
        masks(pose_of(figure, poses), image.repeat(pictures, 1, 1, 1))
    assert len(masks(pose_of(figure, 1), image.repeat(3, 1, 1, 1))) == 3  # one pose serves all


def test_an_empty_pose_list_is_a_sentence(figure):
    image = torch.from_numpy(figure.person).float()[None] / 255
    with pytest.raises(ValueError, match="The pose list is empty"):
        masks([], image)


def test_masks_of_consensus_score_mean_the_same_for_every_number_of_pictures():
    from atelier.host.design.consensus_score import _masks_of

    own_masks = torch.zeros(4, 8, 6)
    for count in (1, 2, 3, 4):
        names = [[name for name, _ in _masks_of(i, count, (8, 6), None, own_masks)] for i in range(count)]
        assert names == [["mask 1", "mask 2", "mask 3", "mask 4"]] * count
