"""Labelled photographs: both layouts, the table of labels, the split, the kept files, random views."""

import json

import numpy as np
import pytest
import torch
from atelier.dev.train.body import photo_views as views
from atelier.dev.train.body import street_photos as street
from atelier.models.studio.person_frame import sample
from atelier.models.studio.photo_parser import CLASSES


@pytest.fixture(scope="module")
def folder(drawn_street, tmp_path_factory):
    path = tmp_path_factory.mktemp("street")
    drawn_street.write_indexed(path)
    return path


@pytest.fixture(scope="module")
def photos(drawn_street, folder, tmp_path_factory):
    return street.cached(
        street.open_folder(folder), "train", tmp_path_factory.mktemp("cache"), lambda: drawn_street.find_joints
    )


def test_both_layouts_read_equal(drawn_street, folder, tmp_path):
    held = json.loads(street.SPLIT.read_text())
    numbers = [n for n in range(1, 11) if f"{n:04d}" not in {*held["test"], *held["kept_back"]}]
    drawn_street.write_original(tmp_path, numbers)
    ours, theirs = street.open_folder(folder), street.open_folder(tmp_path)
    assert np.array_equal(ours.table, theirs.table)
    for number in numbers:
        name = f"{number:04d}"
        assert np.array_equal(ours.photo(name), theirs.photo(name))
        assert np.array_equal(ours.labels(name), theirs.labels(name))
    assert {*theirs.splits["train"], *theirs.splits["validation"]} == {f"{n:04d}" for n in numbers}


def test_the_original_layout_keeps_the_test_photographs_apart(drawn_street, tmp_path):
    held = json.loads(street.SPLIT.read_text())
    assert len(held["test"]) == 150 and not {*held["test"]} & {*held["kept_back"]}
    drawn_street.write_original(tmp_path, [1, 2, int(held["test"][0]), int(held["kept_back"][0])])
    splits = street.open_folder(tmp_path).splits
    assert splits["test"] == (held["test"][0],)
    assert {*splits["train"], *splits["validation"]} == {"0001", "0002"} and splits["unlabelled"] == ()


def test_every_label_teaches_one_class(drawn_street):
    listed = [label for labels in street.TEACHES.values() for label in labels]
    assert sorted(listed) == sorted(drawn_street.NAMES) and {*street.TEACHES} == {*CLASSES, ""}
    table = street.class_table(drawn_street.NAMES)
    assert CLASSES[table[drawn_street.NAMES.index("jeans")]] == "trousers"
    assert table[drawn_street.NAMES.index("watch")] == street.OTHER and table[59] == street.OUTSIDE
    with pytest.raises(ValueError, match="labels kimono are not among the 59"):
        street.class_table([*drawn_street.NAMES, "kimono"])


def test_another_folder_is_refused_with_a_sentence(tmp_path):
    with pytest.raises(ValueError, match=r"holds neither index\.json nor annotations"):
        street.open_folder(tmp_path)


def test_validation_is_held_out_of_train_and_always_the_same(folder):
    first, again = (street.open_folder(folder).splits for _ in range(2))
    assert first == again and len(first["validation"]) == 4 and len(first["train"]) == 4
    assert not {*first["train"]} & {*first["validation"]} and not {*first["test"]} & {*first["train"]}
    many = street.with_validation({"train": tuple(map(str, range(700))), "test": (), "unlabelled": ()})
    assert len(many["validation"]) == street.VALIDATION and len(many["train"]) == 700 - street.VALIDATION


def test_photographs_are_read_once(drawn_street, folder, tmp_path):
    data, opened = street.open_folder(folder), []

    def open_joints():
        opened.append(1)
        return drawn_street.find_joints

    for _ in range(2):
        kept = street.cached(data, "train", tmp_path, open_joints)
    assert len(opened) == 1 and kept.names == data.splits["train"]
    row, name = 1, kept.names[1]
    assert np.array_equal(kept.pictures[row, : drawn_street.HEIGHT, : drawn_street.WIDTH], data.photo(name))
    assert np.array_equal(kept.labels[row, : drawn_street.HEIGHT, : drawn_street.WIDTH], data.labels(name))
    assert np.allclose(kept.joints[row], drawn_street.figure(int(name))[2], atol=1.5)


def test_views_keep_picture_labels_and_joints_together(drawn_street, photos):
    """Each pixel of a view has the colour of its label, and each joint lies on the figure."""
    recipe = views.ViewRecipe(no_joints=0, lost_joint=0, moved_joint=0)
    rng, right, pixels, on_figure, joints = np.random.default_rng(3), 0, 0, 0, 0
    worn = {"hair": "hair", "blouse": "top", "jeans": "trousers", "skirt": "skirt", "bag": "bag"}
    colours = {CLASSES.index(name): drawn_street.COLOURS[label] for label, name in worn.items()}
    for number in range(24):
        picture, labels, moved = views.view(photos, number % len(photos), (64, 128), number % 3 == 0, rng, recipe)
        assert picture.shape == (3, 128, 64) and labels.shape == (64, 32) and moved.shape == (18, 3)
        small = torch.nn.functional.avg_pool2d(picture[None], 2)[0] * 255
        for label, colour in colours.items():
            found = small[:, labels == label]
            right += int(((found - torch.tensor(colour)[:, None]).abs().amax(0) < 60).sum())
            pixels += found.shape[1]
        for x, y, there in moved.tolist():
            if there:
                joints += 1
                on_figure += int(labels[int(y) // 2, int(x) // 2] not in (0, 255))
    assert pixels > 2000 and right / pixels > 0.85
    assert joints > 150 and on_figure / joints > 0.9


def test_a_mirrored_view_exchanges_left_and_right(photos):
    matrix = np.array([[-1.0, 0, 96], [0, 1.0, 0]])
    joints, size = photos.joints[0], (96, 144)
    turned = views.moved_joints(joints, matrix, size, mirrored=True)
    assert np.allclose(turned[2, 0], 96 - joints[5, 0]) and np.allclose(turned[2, 1], joints[5, 1])
    picture, _ = views.read_view(photos, 0, matrix, size)
    assert np.abs(picture.flip(-1).movedim(0, -1).numpy() * 255 - photos.pictures[0]).max() < 1.01


def test_views_are_read_as_the_network_reads_a_photograph(photos):
    """What is taught and what is parsed later are sampled alike."""
    rng = np.random.default_rng(1)
    matrix = views.random_matrix((10, 10, 90, 140), (64, 128), rng, views.ViewRecipe())
    picture, _ = views.read_view(photos, 0, matrix, (64, 128))
    whole = torch.from_numpy(photos.pictures[0].copy()).movedim(-1, 0)[None].float() / 255
    other = sample(whole, torch.from_numpy(matrix).float()[None], (64, 128))[0]
    assert (picture - other).abs().mean() < 0.004


def test_a_batch_follows_from_its_number(photos):
    first, again = views.Views(photos, 3, 128), views.Views(photos, 3, 128, position=5)
    batches = iter(first)
    for _ in range(5):
        next(batches)
    expected, resumed = next(batches), next(iter(again))
    assert all(torch.equal(a, b) for a, b in zip(expected, resumed))
    assert not torch.equal(expected.labels, again.make(6).labels)


def test_an_unlabelled_person_is_never_drawn_and_guessed_labels_are_trusted_less(photos):
    from dataclasses import replace

    labels = photos.labels.copy()
    labels[1] = 0
    odds = views.row_odds(replace(photos, labels=labels))
    assert odds[1] == 0 and odds.sum() == pytest.approx(1) and (odds[[0, 2, 3]] > 0).all()
    mixed = views.Views(photos, 4, 128, guessed=photos, share=0.5).make(0)
    assert mixed.trust.tolist() == pytest.approx([1, 1, 0.7, 0.7])
