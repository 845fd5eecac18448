"""Keypoints in every form, part masks, published boxes, the editor's value, the drawn pose."""

import json

import numpy as np
import pytest
from atelier.craft.body import (
    body_parts,
    keypoints,
    labels,
    part_edits,
    part_labels,
    part_masks,
    part_names,
    pose_drawing,
    published_boxes,
)
from atelier.craft.picture.mask_shapes import capsule, convex_order, dilate, hull_band

SIZE = (192, 256)


@pytest.fixture(scope="module")
def joints():
    return part_edits.figure_joints(part_edits.PartEdits(), *SIZE)


def pose(people, width=SIZE[0], height=SIZE[1]):
    return keypoints.to_pose_keypoint([np.asarray(people).reshape(-1, 18, 3)], width, height)


# keypoints


def test_every_form_gives_the_same_joints(joints):
    shares = joints.copy()
    shares[:, :2] /= SIZE
    frames = pose(joints)
    normalised = [
        {"people": [{"pose_keypoints_2d": shares.reshape(-1).tolist()}], "canvas_width": 500, "canvas_height": 900}
    ]
    larger = pose(joints * [2, 2, 1], 2 * SIZE[0], 2 * SIZE[1])
    no_canvas = [{"people": frames[0]["people"]}]
    for value in (
        frames,
        frames[0],
        json.dumps(frames),
        normalised,
        larger,
        no_canvas,
        joints,
        joints.tolist(),
        [joints.tolist()],
    ):
        (read,) = keypoints.read_keypoints(value, *SIZE)
        assert np.allclose(read, joints[None], atol=2e-3)


def test_coco17_and_body25_become_coco18(joints):
    body25 = np.zeros((25, 3))
    body25[list(keypoints.FROM_BODY25)] = joints
    coco17 = np.zeros((17, 3))
    for index, source in enumerate(keypoints.FROM_COCO17):
        if source is not None:
            coco17[source] = joints[index]
    assert np.allclose(keypoints.read_keypoints(body25, *SIZE)[0][0], joints, atol=1e-3)
    from17 = keypoints.read_keypoints(coco17, *SIZE)[0][0]
    assert np.allclose(np.delete(from17, 1, 0), np.delete(joints, 1, 0), atol=1e-3)
    assert np.allclose(from17[1, :2], (joints[2, :2] + joints[5, :2]) / 2)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("{", "not JSON"),
        ([{"persons": []}], "people"),
        ([{"people": [{"pose_keypoints_2d": [1, 2]}]}], "three"),
        (np.zeros((2, 7, 3)), "7 joints"),
        ([{"people": [], "canvas_width": -1}], "canvas_width"),
        ([{"people": [{"pose_keypoints_2d": [float("nan")] * 54}]}], "finite"),
        ([{"people": [{"pose_keypoints_2d": ["a"] * 54}]}], "no number"),
    ],
)
def test_unfit_keypoints_are_refused_in_a_sentence(value, said):
    with pytest.raises(ValueError, match=said):
        keypoints.read_keypoints(value, *SIZE)


def test_the_largest_person_or_the_one_asked_for(joints):
    small = joints.copy()
    small[:, :2] = small[:, :2] * 0.4 + (110, 0)
    people = np.stack([small, joints])
    assert np.allclose(keypoints.choose_person(people), joints)
    assert np.allclose(keypoints.choose_person(people, 2), small)
    assert np.allclose(keypoints.choose_person(people, 1), joints)
    with pytest.raises(ValueError, match="holds 2 people"):
        keypoints.choose_person(people, 3)
    with pytest.raises(ValueError, match="nobody"):
        keypoints.choose_person(people[:0])


def test_a_missing_joint_is_mirrored_at_the_body_axis(joints):
    lame = joints.copy()
    lame[keypoints.L_WRIST] = 0
    filled, notes = keypoints.complete(lame)
    assert np.allclose(filled[keypoints.L_WRIST, :2], joints[keypoints.L_WRIST, :2], atol=2.5)
    assert any("left wrist" in note for note in notes)
    lame[keypoints.R_WRIST] = 0
    filled, notes = keypoints.complete(lame)
    assert filled[keypoints.L_WRIST, 2] == 0 and not notes


# part masks


def test_masks_scale_with_the_body(joints):
    for name in part_names.PART_NAMES:
        once = body_parts.part_mask(body_parts.Body(joints, *SIZE), name)
        twice = body_parts.part_mask(body_parts.Body(joints * [2, 2, 1], SIZE[0] * 2, SIZE[1] * 2), name)
        assert once.any(), name
        assert abs(twice.sum() / once.sum() - 4) < 0.5, name
        assert once.mean() < 0.4, name


def test_sides_are_the_persons_own(joints):
    right = body_parts.part_mask(body_parts.Body(joints, *SIZE), "right sleeve")
    left = body_parts.part_mask(body_parts.Body(joints, *SIZE), "left sleeve")
    assert not (right & left).any()
    assert np.nonzero(right)[1].mean() < SIZE[0] / 2 < np.nonzero(left)[1].mean()


def test_union_and_difference(joints):
    body = body_parts.Body(joints, *SIZE)

    def mask(text):
        return body_parts.parts_mask(body, part_names.parse_parts(text))

    both = mask("sleeves + collar")
    assert np.array_equal(both, mask("right sleeve") | mask("left_sleeve") | mask("Collar"))
    assert np.array_equal(mask("sleeves - forearms"), mask("sleeves") & ~mask("forearms"))
    assert not mask("- hands").any()
    with pytest.raises(ValueError, match="no body part 'tail'"):
        part_names.parse_parts("sleeves + tail")


def test_an_absent_part_is_said(joints):
    armless = joints.copy()
    armless[[3, 4, 6, 7]] = 0
    body = body_parts.Body(armless, *SIZE)
    assert not body_parts.parts_mask(body, part_names.parse_parts("forearms")).any()
    assert any("right forearm: left out" in note for note in body.notes)


def test_target_length_covers_the_old_and_the_new_sleeve(joints):
    def reach(mask):
        return np.nonzero(mask)[0].max()

    def sleeve(length, worn_to):
        garments = np.zeros(SIZE[::-1], np.uint8)
        garments[: int(worn_to)] = labels.ATR.index("upper-clothes")
        return body_parts.part_mask(body_parts.Body(joints, *SIZE, garments=garments), "right sleeve", length=length)

    elbow, wrist = joints[3, 1], joints[4, 1]
    assert reach(sleeve(0.25, worn_to=elbow)) < wrist  # a short sleeve made shorter keeps the wrist out
    assert reach(sleeve(0.25, worn_to=wrist)) >= wrist - 3  # a long sleeve made short is masked to its old end
    assert reach(sleeve(1.0, worn_to=elbow)) >= wrist  # a short sleeve made long is masked to its new end
    unknown = body_parts.part_mask(body_parts.Body(joints, *SIZE), "right sleeve", length=0.25)
    assert reach(unknown) >= wrist  # without label maps the old length may be anything


def test_parser_regions_and_intersection(joints):
    silhouette = body_parts.parts_mask(body_parts.Body(joints, *SIZE), part_names.parse_parts("whole body"))
    parts = part_labels.label_parts(joints, silhouette)
    assert set(np.unique(parts)) == set(range(len(labels.PARTS)))
    assert np.array_equal(parts > 0, silhouette)
    body = body_parts.Body(joints, *SIZE, parts=parts)
    hands = body_parts.part_mask(body, "left hand", "parser regions")
    assert np.array_equal(hands, parts == labels.PARTS.index("left hand"))
    capsules = body_parts.part_mask(body, "torso")
    both = body_parts.part_mask(body, "torso", "both intersected")
    assert both.any() and not (both & ~capsules).any() and both.sum() < capsules.sum()
    with pytest.raises(ValueError, match="label maps"):
        body_parts.part_mask(body_parts.Body(joints, *SIZE), "torso", "parser regions")


def test_choice_grows_protects_and_feathers_inside(joints):
    frames = [joints[None]]

    def choose(**fields):
        return part_masks.choice_masks(part_masks.PartChoice(**{"parts": "sleeves", **fields}), SIZE, frames)

    plain, soft, notes = choose(feather=6)
    assert notes == []
    assert not soft[~plain].any() and soft.max() == 1 and (soft[plain] > 0).all() and (soft < 1)[plain].any()
    grown, _, _ = choose(grow=5)
    assert (grown | plain).sum() == grown.sum() > plain.sum()
    kept, _, _ = choose(protect="hands + torso")
    body = body_parts.Body(joints, *SIZE)
    assert not (kept[0] & body_parts.parts_mask(body, part_names.parse_parts("hands + torso"))).any()
    with pytest.raises(ValueError, match=r"empty.*cover all of it"):
        choose(protect="sleeves")
    with pytest.raises(ValueError, match="no part is chosen"):
        choose(parts="")


def test_a_batch_has_a_mask_for_each_pose(joints):
    moved = joints + np.array([20, 0, 0])
    hard, soft, _ = part_masks.choice_masks(part_masks.PartChoice("collar"), SIZE, [joints[None], moved[None]])
    assert hard.shape == soft.shape == (2, SIZE[1], SIZE[0])
    assert np.array_equal(hard[0][:, :-20], hard[1][:, 20:])


# published boxes


def test_published_boxes_by_the_published_offsets():
    person = np.zeros((18, 3))
    for joint, x, y in (
        (3, 200, 300),
        (8, 210, 401),
        (6, 340, 290),
        (13, 330, 690.9),
        (1, 256, 120),
        (2, 190, 130),
        (4, 150.7, 380),
    ):
        person[joint] = x, y, 1
    assert published_boxes.published_boxes(person, "lower") == [[100, 401, 440, 750]]
    assert published_boxes.published_boxes(person, "collar") == [[196, 80, 316, 160]]
    # right arm seen, left arm stands in: offsets apply to the stand-ins too
    assert published_boxes.published_boxes(person, "sleeves") == [[110, 100, 170, 420], [292, 14, 427, 365]]
    other = person + np.array([5, 0, 0])
    assert published_boxes.published_boxes(np.stack([person, other]), "collar") == [[201, 80, 321, 160]]
    assert published_boxes.rule_of("A5 hem", "Shirt") == "lower" and published_boxes.rule_of("A1", "Blouse") == "upper"
    with pytest.raises(ValueError, match="Kimono"):
        published_boxes.rule_of("A1", "Kimono")


def test_inverted_and_negative_boxes_are_sorted_and_cut():
    mask = published_boxes.boxes_mask([[30, 20, 10, 5], [-8, 60, 4, 900]], 40, 70)
    expected = np.zeros((70, 40), bool)
    expected[5:20, 10:30] = True
    expected[60:, :4] = True
    assert np.array_equal(mask, expected)


def test_segmenter_masks_take_the_last_candidate_widened():
    masks = np.zeros((2, 3, 40, 40), bool)
    masks[0, 0], masks[0, 2, 20, 20], masks[1, 2, 0, 39] = True, True, True
    merged = published_boxes.merge_segmenter_masks(masks)
    assert merged.sum() == 15 * 15 + 8 * 8 and merged[13, 13] and not merged[12, 13]


# editor value


def value(**fields):
    return json.dumps({"v": 1, **fields})


def test_strokes_paint_and_erase_in_order(joints):
    stroke = {"p": "free", "t": "b", "r": 0.05, "pts": [[0.2, 0.5], [0.8, 0.5]]}
    erase = {"p": "free", "t": "e", "r": 0.06, "pts": [[0.5, 0.5]]}
    fill = {"p": "free", "t": "f", "pts": [[0.45, 0.45], [0.55, 0.45], [0.55, 0.55], [0.45, 0.55]]}
    body = body_parts.Body(joints, *SIZE)

    def mask(*strokes):
        return part_edits.edits_mask(
            part_edits.read_edits(value(parts={"free": {"on": True}}, strokes=list(strokes))), body
        )

    line = mask(stroke)
    assert np.array_equal(line, capsule(*SIZE, np.array([38.4, 128.0]), np.array([153.6, 128.0]), 9.6, 9.6))
    assert not mask(stroke, erase)[128, 96] and mask(erase, stroke)[128, 96] and mask(stroke, erase, fill)[128, 96]


def test_parts_of_the_editor_equal_the_named_parts(joints):
    body = body_parts.Body(joints, *SIZE)
    edits = part_edits.read_edits(value(parts={"left_sleeve": {"on": True, "mode": "auto"}, "collar": {"on": False}}))
    assert np.array_equal(part_edits.edits_mask(edits, body), body_parts.part_mask(body, "left sleeve"))


def test_moved_and_hidden_joints(joints):
    edits = part_edits.read_edits(value(joints={"left_wrist": [0.9, 0.1], "right_ear": [0, 0, 0]}))
    moved = part_edits.moved_joints(edits, joints, *SIZE)
    assert np.allclose(moved[keypoints.L_WRIST], (0.9 * SIZE[0], 0.1 * SIZE[1], 1)) and moved[keypoints.R_EAR, 2] == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[1]", "object"),
        ("{", "not JSON"),
        ('{"v":2}', "version 2"),
        ('{"v":true}', "version True"),
        ('{"v":1,"parts":[]}', "parts"),
        ('{"v":1,"parts":{"tail":{"on":true}}}', "tail"),
        ('{"v":1,"parts":{"collar":{"on":1}}}', "collar"),
        ('{"v":1,"joints":{"tail":[0,0]}}', "tail"),
        ('{"v":1,"joints":{"neck":[0]}}', "neck"),
        ('{"v":1,"joints":{"neck":[0,NaN]}}', "finite"),
        ('{"v":1,"joints":{"neck":[0,1e400]}}', "inf"),
        ('{"v":1,"strokes":{}}', "strokes"),
        ('{"v":1,"strokes":[{"p":"collar","t":"b","r":9,"pts":[[0,0]]}]}', "radius"),
        ('{"v":1,"strokes":[{"p":"collar","t":"x","pts":[[0,0]]}]}', "Stroke 1"),
        ('{"v":1,"strokes":[{"p":"collar","t":"b","r":0.1,"pts":[[0]]}]}', "point"),
        ('{"v":1,"figure":"side"}', "side"),
        ('{"v":1,"aspect":[0,4]}', "aspect"),
        ('{"v":1,"pad":"' + "x" * 70000 + '"}', "bytes"),
        ("[" * 100_00, "not JSON"),
        (value(strokes=[{"p": "collar", "t": "b", "r": 0.1, "pts": [[0, 0]]}] * 513), "512"),
    ],
)
def test_bad_values_are_refused_in_a_sentence(text, said):
    with pytest.raises(ValueError, match=said):
        part_edits.read_edits(text)


def test_empty_and_unknown_keys_are_fine():
    assert not part_edits.read_edits("  ")
    assert part_edits.read_edits(value(parts={"hem": {}}, zoom=3)).parts == {"hem": "auto"}


# drawing and shapes


def test_drawn_pose_by_the_published_rule():
    person = np.zeros((18, 3), np.float32)
    person[2], person[3] = (20.9, 30, 1), (60, 30, 1)
    picture = pose_drawing.draw_pose(person, 80, 60)
    assert tuple(picture[26, 20]) == (255, 170, 0)  # joint 2's disc, radius 4, coordinates cut to whole pixels
    # the limb between joints 2 and 3: 0.4 of black + 0.6 of its colour
    assert tuple(picture[30, 40]) == (153, 102, 0)
    assert tuple(picture[40, 40]) == (0, 0, 0) and picture[:, 70:].max() == 0
    assert not pose_drawing.draw_pose(np.zeros((0, 18, 3)), 8, 8).any()
    big = pose_drawing.draw_pose(person, 80, 60, thickness=9)
    assert (big.any(-1)).sum() > 1.5 * (picture.any(-1)).sum()


def test_capsules_hulls_and_growth_are_exact():
    mask = capsule(60, 50, np.array([10.0, 25.0]), np.array([40.0, 25.0]), 5, 5)
    rows, cols = np.mgrid[:50, :60]
    distance = np.hypot(np.maximum(np.maximum(10 - cols, cols - 40), 0), rows - 25)
    assert np.array_equal(mask, distance <= 5)
    square = np.array([[10, 10], [30, 10], [30, 30], [10, 30], [20, 20]], float)
    assert len(convex_order(square)) == 4
    assert hull_band(40, 40, square, 0.0).sum() == 21 * 21
    point = np.zeros((21, 21), bool)
    point[10, 10] = True
    assert np.array_equal(dilate(point, 3), np.hypot(*(np.mgrid[:21, :21] - 10)) <= 3)
    assert np.array_equal(dilate(dilate(point, 6), -3), np.hypot(*(np.mgrid[:21, :21] - 10)) <= 3)


def test_label_tables():
    assert labels.ATR[16] == "bag" and labels.LIP[7] == "coat" and len(labels.PARTS) == 18
    lip = np.arange(20, dtype=np.uint8)[None]
    atr = labels.lip_to_atr(lip)[0]
    assert labels.ATR[atr[7]] == "upper-clothes" and labels.ATR[atr[10]] == "dress" and labels.ATR[atr[13]] == "face"
    table, strangers = labels.match_names(
        {0: "Background", 1: "Upper_Clothes", 2: "Trousers", 3: "Tentacle", 4: "Left-Shoe"}
    )
    assert [labels.ATR[n] for n in table[:5]] == ["background", "upper-clothes", "pants", "background", "left-shoe"]
    assert strangers == ["Tentacle"]
