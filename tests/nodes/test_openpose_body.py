"""The controlnet-aux backend of Detect Body: that package's real network and joining of joints, without its weights."""

import importlib.util

import numpy as np
import pytest
import torch
from atelier.craft.body import keypoints, part_edits

SIZE = (192, 256)
# OpenPose's published order of part affinity fields: joints of each limb and its two channels.
LIMBS = [
    (1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10), (1, 11), (11, 12), (12, 13), (1, 0),
    (0, 14), (14, 16), (0, 15), (15, 17), (2, 16), (5, 17),
]  # fmt: skip
CHANNELS = [12, 20, 14, 16, 22, 24, 0, 2, 4, 6, 8, 10, 28, 30, 34, 32, 36, 18, 26]
needs_package = pytest.mark.skipif(
    importlib.util.find_spec("controlnet_aux") is None, reason="controlnet-aux is not installed"
)


@pytest.fixture(scope="module")
def backend(host):
    import atelier.host.body.openpose_body as module

    return module


@pytest.fixture
def folder(backend, monkeypatch, tmp_path):
    from atelier.host import folders

    monkeypatch.setattr(folders, "paths", lambda kind: [str(tmp_path)])
    return tmp_path


@pytest.fixture(scope="module")
def body(backend):
    return pytest.importorskip("controlnet_aux.open_pose.body", exc_type=Exception)


class Drawn(torch.nn.Module):
    """Answers with the heat maps and affinity fields of given people, whatever it sees."""

    def __init__(self, people):
        super().__init__()
        self.people = people
        self.seen = None
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, picture):
        self.seen = picture
        rows, columns = picture.shape[2] // 8, picture.shape[3] // 8
        scale = np.array([184 * SIZE[0] / SIZE[1] / SIZE[0], 184 / SIZE[1]]) / 8
        y, x = torch.meshgrid(torch.arange(rows) + 0.5, torch.arange(columns) + 0.5, indexing="ij")
        heat, fields = torch.zeros(1, 19, rows, columns), torch.zeros(1, 38, rows, columns)
        for person in self.people:
            at = torch.from_numpy(person[:, :2] * scale)
            for joint in range(18):
                if person[joint, 2] > 0:
                    near = torch.exp(-0.5 * ((x - at[joint, 0]) ** 2 + (y - at[joint, 1]) ** 2) / 0.8**2)
                    heat[0, joint] = torch.maximum(heat[0, joint], near.float())
            for (a, b), channel in zip(LIMBS, CHANNELS):
                if person[a, 2] > 0 and person[b, 2] > 0:
                    way = at[b] - at[a]
                    length = way.norm()
                    t = (((x - at[a][0]) * way[0] + (y - at[a][1]) * way[1]) / length**2).clamp(0, 1)
                    away = torch.hypot(x - at[a][0] - t * way[0], y - at[a][1] - t * way[1])
                    for axis in range(2):
                        fields[0, channel + axis][away < 1] = float(way[axis] / length)
        return fields, heat


def people():
    first = part_edits.figure_joints(part_edits.PartEdits(), *SIZE)
    large, small = first.copy(), first.copy()
    large[:, :2] = large[:, :2] * 0.6 + (-12, 30)
    small[:, :2] = small[:, :2] * 0.45 + (92, 60)
    large[4] = 0  # a wrist that is not there
    return np.stack([large, small])


def estimator(body, network):
    made = body.Body.__new__(body.Body)
    made.model = network
    return made


@needs_package
def test_joints_and_people_come_back_in_pixels(backend, body):
    truth = people()
    network = Drawn(truth)
    picture = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    picture[..., 0] = 255
    found = backend.run_with(estimator(body, network))(picture)
    assert found.people.shape == (2, 18, 3)
    assert network.seen[0, 2].max() > 0.4 > network.seen[0, 0].mean()  # the network gets blue first
    for index, person in enumerate(truth):  # the largest comes first
        there = person[:, 2] > 0
        assert np.array_equal(found.people[index][:, 2] > 0, there)
        distance = np.linalg.norm(found.people[index][there, :2] - person[there, :2], axis=1)
        assert distance.max() < 0.1 * keypoints.torso_length(person)
    assert found.parts.shape == found.person.shape == (SIZE[1], SIZE[0]) and found.garments is None
    _, xs = np.nonzero(found.person)
    assert xs.mean() < SIZE[0] / 2  # the larger one's parts
    second = backend.run_with(estimator(body, Drawn(truth)), 2)(picture)
    assert np.nonzero(second.person)[1].mean() > SIZE[0] / 2
    nobody = backend.run_with(estimator(body, Drawn(truth[:0])))(picture)
    assert len(nobody.people) == 0 and "nobody was found" in nobody.notes


@needs_package
@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_a_weight_file_of_the_published_form_is_read(backend, body, folder, suffix):
    """The real architecture, its tensors under the published short names, from both kinds of file."""
    from safetensors.torch import save_file

    torch.manual_seed(0)
    tensors = {
        key.partition(".")[2]: (0.01 * torch.randn(1)).half().expand(value.shape).contiguous()
        for key, value in body.bodypose_model().state_dict().items()
    }
    path = folder / f"body_pose_model.{suffix}"
    save_file(tensors, str(path)) if suffix == "safetensors" else torch.save(tensors, path)
    assert backend.openpose_problem() is None and backend.openpose_file() == path
    run = backend.openpose_backend()
    found = run(np.full((96, 72, 3), 90, np.uint8))
    assert len(found.people) == 0 or found.people.shape[1:] == (18, 3)
    network = body.bodypose_model()
    backend.load_weights(network, path)
    assert torch.equal(network.model0.conv1_1.weight, tensors["conv1_1.weight"].float())
    tensors.pop("Mconv7_stage6_L2.bias")
    save_file(tensors, str(folder / "other.safetensors"))
    with pytest.raises(ValueError, match="no OpenPose body network"):
        backend.load_weights(network, folder / "other.safetensors")


@needs_package
def test_a_pickled_file_runs_no_code(backend, body, folder):
    class Trap:
        def __reduce__(self):
            return (open, (str(folder / "sprung"), "w"))

    torch.save({"conv1_1.weight": Trap()}, folder / "body_pose_model.pth")
    with pytest.raises(ValueError, match="plain tensors"):
        backend.openpose_backend()
    assert not (folder / "sprung").exists()


def test_what_is_missing_is_said_in_a_sentence(backend, folder, monkeypatch):
    monkeypatch.setattr(backend, "PACKAGE", "no_such_package")
    with pytest.raises(ValueError, match="pip install"):
        backend.openpose_backend()
    monkeypatch.setattr(backend, "PACKAGE", "numpy")
    with pytest.raises(ValueError, match="body_pose_model"):
        backend.openpose_backend()


def test_auto_asks_one_backend_after_the_other(backend, monkeypatch):
    from atelier.host.body import body_backends, studio_body
    from atelier.host.body.found import Found

    def one(name, count):
        def run(image):
            return Found(np.ones((count, 18, 3), np.float32), None, None, None, name)

        return lambda *_: run

    monkeypatch.setattr(studio_body, "studio_backend", one("studio", 1))
    monkeypatch.setattr(body_backends, "photo_backend", one("photo", 0))
    monkeypatch.setattr(backend, "openpose_backend", one("openpose", 1))
    for photo, openpose, source, notes in (
        (None, None, "openpose", ("the photo backend found nobody",)),
        (None, "absent", "studio", ("the photo backend found nobody",)),
        ("absent", "absent", "studio", ()),
    ):
        monkeypatch.setattr(body_backends, "photo_problem", lambda answer=photo: answer)
        monkeypatch.setattr(backend, "openpose_problem", lambda answer=openpose: answer)
        found = body_backends.open_backend("auto")(np.zeros((8, 8, 3), np.uint8))
        assert (found.source, found.notes) == (source, notes)
