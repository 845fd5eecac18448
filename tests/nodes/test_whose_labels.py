"""Whose labels a found body holds: the chosen person's, and nobody else's."""

import numpy as np
import pytest
import torch
from atelier.craft.body import agnostic_batch, found_body, part_masks
from atelier.craft.body.agnostic_batch import AgnosticChoice
from atelier.craft.body.keypoints import to_pose_keypoint
from atelier.croquis import random_figure, render


@pytest.fixture(scope="module")
def pair(host):
    """Two figures side by side: picture uint8 [H,2W,3], people [2,18,3] from the left, ATR labels [H,2W]."""
    left, right = (render(random_figure(seed), 384, 512, ("person", "parts")) for seed in (3, 8))
    moved = right.keypoints.copy()
    moved[moved[:, 2] > 0, 0] += left.person.shape[1]
    picture, labels = np.hstack([left.person, right.person]), np.hstack([left.atr, right.atr])
    return picture, np.stack([left.keypoints, moved]), labels


def detected(pair, person: int):
    from atelier.nodes.body import DetectBody

    picture, people, labels = pair
    height, width = labels.shape
    pose = to_pose_keypoint([people], width, height)
    image = torch.from_numpy(picture).float()[None] / 255
    label_map = torch.from_numpy(labels).float()[None, ..., None].repeat(1, 1, 1, 3) / 255
    return DetectBody().execute(image, "studio", person, "none", pose, label_map)["result"][:2]


def mask_of(pose, person: int, parts, size):
    from atelier.craft.body.keypoints import read_keypoints

    choice, maps = AgnosticChoice(("upper",), (), 0.0, False, person), (None, None)
    if parts is not None:
        maps = parts.parts.numpy(), parts.garments.numpy()
    owners = None if parts is None else parts.owners()
    return agnostic_batch.agnostic_masks(choice, size, read_keypoints(pose, *size), *maps, 1, owners)


@pytest.mark.parametrize("person", [1, 2])
def test_label_maps_of_several_people_keep_the_chosen_one(pair, person):
    width = pair[2].shape[1]
    _, parts = detected(pair, person)
    kept = np.flatnonzero(parts.garments[0].numpy().any(0))
    mine, others = ((kept < width // 2), (kept >= width // 2))[:: 1 if person == 1 else -1]
    assert mine.mean() > 0.95 and others.mean() < 0.05
    assert (pair[2][:, width // 2 :] > 0).any() and (pair[2][:, : width // 2] > 0).any()  # the control


@pytest.mark.parametrize("person", [1, 2])
def test_the_mask_lies_on_the_chosen_person(pair, person):
    """Both nodes are asked for the same person, whose pose is the only one that Detect Body gives on."""
    height, width = pair[2].shape
    pose, parts = detected(pair, person)
    (mask,), _ = mask_of(pose, person, parts, (width, height))
    half = mask[:, : width // 2] if person == 1 else mask[:, width // 2 :]
    assert half.sum() > 0.98 * mask.sum() > 0


def test_labels_of_another_person_are_not_used(pair):
    height, width = pair[2].shape
    everybody, parts = detected(pair, 0)  # labels of the largest of the two
    owner = 1 if found_body.same_person(pair[1][0], parts.owners()[0]) else 2
    other = 3 - owner
    (mask,), notes = mask_of(everybody, other, parts, (width, height))
    (alone,), _ = mask_of(everybody, other, None, (width, height))
    assert np.array_equal(mask, alone) and found_body.OTHERS in notes
    (own,), notes = mask_of(everybody, owner, parts, (width, height))
    (bare,), _ = mask_of(everybody, owner, None, (width, height))
    assert not np.array_equal(own, bare) and found_body.OTHERS not in notes  # the control: their own are used
    choice = part_masks.PartChoice("sleeves", person=other)
    maps = parts.parts.numpy(), parts.garments.numpy()
    _, _, notes = part_masks.choice_masks(choice, (width, height), [pair[1]], *maps, 1, parts.owners())
    assert found_body.OTHERS in notes


def test_the_published_mask_of_somebody_else_is_refused(pair):
    height, width = pair[2].shape
    _, parts = detected(pair, 0)
    owner = 1 if found_body.same_person(pair[1][0], parts.owners()[0]) else 2
    maps = parts.parts.numpy(), parts.garments.numpy()
    for person, refused in ((owner, False), (3 - owner, True)):
        choice = AgnosticChoice(("upper",), (), 0.0, True, person)
        arguments = (choice, (width, height), [pair[1]], *maps, 1, parts.owners())
        if refused:
            with pytest.raises(ValueError, match="another person than the chosen one"):
                agnostic_batch.agnostic_masks(*arguments)
        else:
            assert agnostic_batch.agnostic_masks(*arguments)[0].any()
