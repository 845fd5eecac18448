"""Detect Body, Body-Part Mask Editor and Agnostic Mask in the real host; the photo backend on a public-domain
photograph.
"""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from atelier.craft.body import keypoints, labels, part_edits, part_labels
from atelier.craft.body.body_parts import Body, parts_mask
from atelier.craft.body.part_names import MAP_KINDS, parse_parts

SIZE = (96, 128)
GUARDS = {f"protect_{name}": True for name in ("face", "hair", "hands", "feet", "bag")}
SWITCHES = {name: False for name in ("upper", "lower", "overall", "shoe", "bag")}


@pytest.fixture(scope="module")
def joints():
    return part_edits.figure_joints(part_edits.PartEdits(), *SIZE)


@pytest.fixture(scope="module")
def pose(joints):
    return keypoints.to_pose_keypoint([joints[None]], *SIZE)


@pytest.fixture(scope="module")
def body(host):
    """The three nodes' classes and what belongs to them."""
    import atelier.nodes.body
    import atelier.nodes.masks

    return SimpleNamespace(**{**vars(atelier.nodes.masks), **vars(atelier.nodes.body)})


def photo_missing():
    from atelier.host.body.body_backends import photo_problem

    return photo_problem()


def picture(count=1):
    return torch.rand(count, SIZE[1], SIZE[0], 3, generator=torch.Generator().manual_seed(0))


def test_given_pose_gives_parts_pictures_and_the_same_pose(body, pose, joints):
    out, parts, drawn, part_picture, garment_picture, person, report = body.DetectBody().execute(
        picture(2), "auto", 0, "none", pose
    )["result"]
    assert np.allclose(keypoints.read_keypoints(out, *SIZE)[1][0], joints, atol=2e-3) and len(out) == 2
    assert parts.parts.shape == (2, SIZE[1], SIZE[0]) and parts.garments is None
    assert set(np.unique(parts.parts)) == set(range(len(labels.PARTS)))
    assert drawn.shape == part_picture.shape == garment_picture.shape == (2, SIZE[1], SIZE[0], 3)
    assert torch.equal(person > 0, parts.parts > 0) and "given pose" in report


def test_label_maps_of_other_packs(body, pose, joints):
    silhouette = parts_mask(Body(joints, *SIZE), parse_parts("whole body"))
    lip = np.where(silhouette, labels.LIP.index("coat"), 0).astype(np.uint8)
    given = torch.from_numpy(lip).float()[None, ..., None].repeat(1, 1, 1, 3) / 255
    parts = body.DetectBody().execute(picture(), "auto", 0, "none", pose, given, MAP_KINDS[1])["result"][1]
    assert set(np.unique(parts.garments)) == {0, labels.ATR.index("upper-clothes")}
    assert torch.equal(parts.person[0], torch.from_numpy(silhouette))
    bare = (
        torch.from_numpy(part_labels.label_parts(joints, silhouette)).float()[None, ..., None].repeat(1, 1, 1, 3) / 255
    )
    read = body.DetectBody().execute(picture(), "auto", 0, "none", pose, bare, MAP_KINDS[2])["result"][1]
    assert torch.equal(read.parts.float() / 255, bare[..., 0])
    with pytest.raises(ValueError, match="holds the value 200"):
        body.DetectBody().execute(picture(), "auto", 0, "none", pose, torch.full_like(bare, 200 / 255))
    with pytest.raises(ValueError, match="cannot be scaled"):
        body.DetectBody().execute(picture(), "auto", 0, "none", pose, bare[:, ::2, ::2])


def test_a_second_person_can_be_chosen(body, joints):
    small = joints.copy()
    small[:, :2] = small[:, :2] * 0.4 + (55, 0)
    pose = keypoints.to_pose_keypoint([np.stack([joints, small])], *SIZE)
    largest = body.DetectBody().execute(picture(), "auto", 0, "none", pose)["result"]
    chosen = body.DetectBody().execute(picture(), "auto", 2, "none", pose)["result"]
    assert largest[5].sum() > 3 * chosen[5].sum() > 0
    assert len(largest[0][0]["people"]) == 2 and len(chosen[0][0]["people"]) == 1


def test_refusals(body, pose):
    empty = keypoints.to_pose_keypoint([np.zeros((0, 18, 3))], *SIZE)
    for given, said in ((empty, "nobody"), (pose * 3, "2 pictures came with 3 poses")):
        with pytest.raises(ValueError, match=said):
            body.DetectBody().execute(picture(2), "auto", 0, "none", given)


def part_mask(
    body,
    pose=None,
    parts_text="sleeves",
    style="limb capsules",
    length=-0.05,
    grow=0,
    feather=0,
    protect="",
    edit="",
    **links,
):
    return body.BodyPartMaskEditor().execute(
        parts_text,
        style,
        length,
        grow,
        feather,
        protect,
        "A1 length",
        "Dress",
        0,
        *SIZE,
        edit,
        pose_keypoint=pose,
        **links,
    )["result"]


def test_part_mask_node_masks_the_part(body, pose, joints):
    mask, soft, report = part_mask(body, pose, feather=4)
    expected = parts_mask(Body(joints, *SIZE), parse_parts("sleeves"))
    assert np.array_equal(mask[0].numpy() > 0, expected) and mask.dtype == torch.float32
    assert not soft[mask == 0].any() and soft.max() == 1 and ((soft > 0) & (soft < 1)).any()
    assert report == "all parts found"
    assert part_mask(body, pose, image=picture(3))[0].shape == (3, SIZE[1], SIZE[0])


def test_part_mask_without_a_pose_uses_the_editors_figure_and_its_joints(body):
    plain, _, report = part_mask(body)
    edit = json.dumps({"v": 1, "joints": {"left_wrist": [0.95, 0.2]}, "parts": {"collar": {"on": True}}})
    moved, _, _ = part_mask(body, edit=edit)
    assert "own figure" in report and moved[0, 26:30, 84:].sum() > plain[0, 26:30, 84:].sum() == 0
    with pytest.raises(ValueError, match=r"empty.*no part is chosen"):
        part_mask(body, parts_text="")


def test_bad_texts_are_refused_before_the_run(body):
    check = body.BodyPartMaskEditor.VALIDATE_INPUTS
    texts = {"parts_text": "sleeves - hands", "protect": "face", "edit": ""}
    assert check(**texts) is True
    assert "tail" in check(**texts | {"parts_text": "tail"})
    assert "JSON" in check(**texts | {"edit": "{"})


def test_sizes_that_do_not_belong_together_are_refused(body, pose):
    parts = body.DetectBody().execute(picture(), "auto", 0, "none", pose)["result"][1]
    with pytest.raises(ValueError, match="label maps are 96x128"):
        part_mask(body, pose, parts=parts, image=torch.zeros(1, 64, 64, 3))


def agnostic(body, pose, mode=0, **given):
    switches = {**SWITCHES, **{k: v for k, v in given.items() if k in SWITCHES}}
    links = {k: v for k, v in given.items() if k not in SWITCHES}
    return body.AgnosticMask().execute(pose, True, 0.0, body.MASK_MODES[mode], 0, *SIZE, **links, **switches, **GUARDS)[
        "result"
    ]


def test_agnostic_mask_takes_the_outfits_categories(body, pose):
    from atelier.nodes.sockets import Garment, Outfit

    garments = tuple(
        Garment(torch.ones(1, 8, 8, 3), category, "letterbox", (0, 0), category) for category in ("lower", "shoe")
    )
    with_outfit, report = agnostic(body, pose, upper=True, outfit=Outfit(garments))
    by_switch, _ = agnostic(body, pose, lower=True, shoe=True)
    assert torch.equal(with_outfit, by_switch) and "lower, shoe" in report
    assert not torch.equal(by_switch, agnostic(body, pose, upper=True)[0])
    with pytest.raises(ValueError, match="No garment category"):
        agnostic(body, pose)


def test_published_mode_needs_label_maps(body, pose, joints):
    with pytest.raises(ValueError, match="label maps"):
        agnostic(body, pose, mode=1, upper=True)
    silhouette = parts_mask(Body(joints, *SIZE), parse_parts("whole body"))
    atr = np.where(silhouette, labels.ATR.index("dress"), 0).astype(np.uint8)
    given = torch.from_numpy(atr).float()[None, ..., None] / 255
    parts = body.DetectBody().execute(picture(), "auto", 0, "none", pose, given)["result"][1]
    mask, _ = agnostic(body, pose, mode=1, overall=True, parts=parts)
    assert mask[0][parts.parts[0] == labels.PARTS.index("torso")].mean() > 0.95


def test_the_graph_runs_in_the_host(run_graph, host, pose):
    import folder_paths
    from PIL import Image

    Image.new("RGB", SIZE, (200, 180, 160)).save(f"{folder_paths.get_input_directory()}/body_room.png")
    result = run_graph(
        {
            "1": {"class_type": "LoadImage", "inputs": {"image": "body_room.png"}},
            "2": {
                "class_type": "AtelierBodyPartMaskEditor",
                "inputs": {
                    "image": ["1", 0],
                    "parts_text": "skirt",
                    "style": "limb capsules",
                    "target_length": 0.5,
                    "grow": 0,
                    "feather": 2,
                    "protect": "",
                    "attribute": "A1 length",
                    "garment": "Dress",
                    "person": 0,
                    "width": 64,
                    "height": 64,
                    "edit": "",
                },
            },
            "3": {"class_type": "MaskPreview", "inputs": {"mask": ["2", 0]}},
        }
    )
    assert "own figure" in result.outputs["2"]["text"][0]


# the photo backend: real networks on a real photograph


@pytest.fixture(scope="module")
def astronaut():
    skimage = pytest.importorskip("skimage.data", reason="scikit-image, which carries the photograph, is not installed")
    return torch.from_numpy(skimage.astronaut()).float()[None] / 255


def test_without_packages_one_sentence_says_how_to_get_them(monkeypatch, host):
    from atelier.host.body import body_backends

    monkeypatch.setattr(body_backends, "DATA_PACKAGES", ("no-such-package",))
    with pytest.raises(ValueError, match=r"install\.py"):
        body_backends.open_backend("photo")


def test_photo_backend_finds_a_half_body_portrait(body, astronaut):
    if photo_missing():
        pytest.skip(photo_missing())
    pose, parts, drawn, _, _, person, report = body.DetectBody().execute(astronaut, "photo", 0, "none")["result"]
    joints = keypoints.read_keypoints(pose, 512, 512)[0][0]
    # the face is where the picture has it, the ankles, outside the picture, are not invented
    assert abs(joints[0, 0] - 225) < 15 and abs(joints[0, 1] - 120) < 20
    assert not joints[[9, 10, 12, 13], 2].any()
    assert joints[keypoints.R_SHOULDER, 0] < 150 < 280 < joints[keypoints.L_SHOULDER, 0]
    assert 0.3 < person.mean() < 0.75 and person[0, 300, 220] == 1 and person[0, 30, 20] == 0
    face = parts.garments[0] == labels.ATR.index("face")
    assert face[100:150, 200:250].float().mean() > 0.7
    assert labels.ATR[int(parts.garments[0, 400, 220])] == "upper-clothes"
    assert "BlazePose" in report and drawn.max() > 0
    mask, _ = body.AgnosticMask().execute(
        pose, True, 0.0, body.MASK_MODES[0], 0, 64, 64, parts=parts, **{**SWITCHES, "upper": True}, **GUARDS
    )["result"]
    assert mask[0, 400, 220] == 1 and not mask[0][face & (parts.parts[0] == labels.PARTS.index("face"))].any()


def test_photo_backend_agrees_with_itself_flipped(body, astronaut):
    """A wrong left/right table or crop matrix shows here: the mirrored photograph gives the mirrored joints."""
    if photo_missing():
        pytest.skip(photo_missing())

    def find(x):
        return keypoints.read_keypoints(body.DetectBody().execute(x, "photo", 0, "none")["result"][0], 512, 512)[0][0]

    plain, flipped = find(astronaut), find(astronaut.flip(2))
    mirrored = flipped[list(keypoints.MIRRORED)]
    mirrored[:, 0] = 511 - mirrored[:, 0]
    both = (plain[:, 2] > 0) & (mirrored[:, 2] > 0)
    assert both.sum() >= 8
    assert np.abs(plain[both, :2] - mirrored[both, :2]).mean() < 8


def test_photo_backend_says_when_nobody_is_there(body):
    if photo_missing():
        pytest.skip(photo_missing())
    with pytest.raises(ValueError, match="Nobody was found in picture 1"):
        body.DetectBody().execute(torch.full((1, 96, 96, 3), 0.5), "photo", 0, "none")


def test_a_local_parser_is_used_and_its_labels_mapped(body, pose, joints, host, tmp_path, monkeypatch):
    """A tiny SegFormer in a local folder; its own label order is mapped to ATR by name."""
    import folder_paths
    from atelier.host.body import segformer_parser
    from transformers import SegformerConfig, SegformerForSemanticSegmentation

    names = ["Background", "Skirt", "Whatsit", "Upper-clothes"]
    config = SegformerConfig(
        num_channels=3,
        depths=[1, 1, 1, 1],
        hidden_sizes=[8, 8, 8, 8],
        num_attention_heads=[1, 1, 1, 1],
        decoder_hidden_size=8,
        id2label=dict(enumerate(names)),
        label2id={n: i for i, n in enumerate(names)},
    )
    with torch.no_grad():
        network = SegformerForSemanticSegmentation(config)
        network.decode_head.classifier.weight.zero_()
        network.decode_head.classifier.bias.copy_(torch.tensor([0.0, 0.0, 0.0, 5.0]))  # everything is upper-clothes
        network.save_pretrained(tmp_path / "tiny")
    monkeypatch.setitem(folder_paths.folder_names_and_paths, segformer_parser.FOLDER, ([str(tmp_path)], set()))
    assert "tiny" in body._parsers()
    _, parts, *_, report = body.DetectBody().execute(picture(), "auto", 0, "tiny", pose)["result"]
    assert (parts.garments == labels.ATR.index("upper-clothes")).all() and "Whatsit" in report
    with pytest.raises(ValueError, match="no parser"):
        segformer_parser.open_parser("../tiny")


# the studio backend: the shipped network on drawn figures


def test_studio_backend_finds_a_drawn_figure_at_any_size(body):
    from atelier.croquis import random_figure, render

    spec = random_figure(33, ("upper", "lower"))
    for size in ((192, 256), (500, 400)):
        figure = render(spec, *size, ("person", "parts"))
        image = torch.from_numpy(figure.person).float()[None] / 255
        pose, parts, *_, report = body.DetectBody().execute(image, "studio", 0, "none")["result"]
        found, truth = keypoints.read_keypoints(pose, *size)[0][0], figure.keypoints
        torso = keypoints.torso_length(truth)
        distance = np.linalg.norm(found[:, :2] - truth[:, :2], axis=1)
        assert np.median(distance[found[:, 2] > 0]) < 0.1 * torso and (found[:, 2] > 0).sum() >= 14
        person = parts.person[0].numpy()
        assert (person & (figure.parts > 0)).sum() / (person | (figure.parts > 0)).sum() > 0.85
        assert "drawn figures" in report


def test_missing_studio_weights_are_said(host, tmp_path):
    from atelier.host.body.studio_body import studio_backend

    with pytest.raises(ValueError, match=r"dev\.py train body"):
        studio_backend(tmp_path / "body.safetensors")
