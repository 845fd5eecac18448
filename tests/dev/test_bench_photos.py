"""`bench photos`: what it counts, its controls, its last line and exit status."""

import json

import numpy as np
import pytest
import torch
from atelier.dev.bench import bench_photos, photo_joints
from atelier.dev.train import run as loop
from atelier.dev.train.body import photo_measures as measures
from atelier.dev.train.body.street_photos import OTHER, OUTSIDE
from atelier.models.studio.photo_parser import CLASSES, ParserConfig, PhotoParser, save_network

SMALL = ParserConfig(whole=48, layers=1, heads=4, widths=(32, 24, 16))


def labels(*rows: str) -> np.ndarray:
    numbers = {**{name: number for number, name in enumerate(CLASSES)}, "other": OTHER, "outside": OUTSIDE}
    return np.array([[numbers[name] for name in row.split()] for row in rows], np.uint8)


def test_overlap_is_counted_over_all_pixels_and_top_holds_outer():
    truth = labels("background top outer bag", "background top other outside")
    found = labels("background outer top top", "bag top top skirt")
    figures = measures.overlaps(measures.tally(found, truth))
    assert figures["top"] == pytest.approx(3 / 5)  # both wrong tops count: the bag's pixel and the watch's
    assert figures["bag"] == 0 and np.isnan(figures["skirt"])
    assert figures["person"] == pytest.approx(5 / 6)


def test_every_bar_is_reached_by_the_truth_and_missing_classes_fall_short():
    truth = np.arange(len(CLASSES), dtype=np.uint8).repeat(4).reshape(-1, 4)
    figures = measures.overlaps(measures.tally(truth, truth))
    assert all(value == 1 for value in figures.values()) and measures.shortfalls(figures) == []
    wrong = truth.copy()
    wrong[CLASSES.index("bag"), :2] = 0
    short = measures.shortfalls(measures.overlaps(measures.tally(wrong, truth)))
    assert [line.split()[0] for line in short] == ["bag"]
    truth[truth == CLASSES.index("skirt")] = 0
    assert [line.split()[0] for line in measures.shortfalls(measures.overlaps(measures.tally(truth, truth)))] == [
        "mean"
    ]


def test_the_table_names_what_falls_short(monkeypatch, tmp_path, drawn_street, capsys):
    drawn_street.write_indexed(tmp_path / "data")
    monkeypatch.setattr(loop, "RUNS", tmp_path / "runs")
    monkeypatch.setattr(photo_joints, "open_joints", lambda: drawn_street.find_joints)
    torch.manual_seed(0)
    save_network(PhotoParser(SMALL), tmp_path / "parser.safetensors")
    words = ["--data", str(tmp_path / "data"), "--weights", str(tmp_path / "parser.safetensors"), "--no-rules"]
    assert bench_photos.run(words, str(tmp_path / "figures.json")) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("IoU on the 2 photographs of test") and lines[-1].startswith("Short of the bar: mean")
    columns = json.loads((tmp_path / "figures.json").read_text())
    assert set(columns) == {"parser", "next photograph"} and set(columns["parser"]) >= set(measures.BARS)
    with pytest.raises(ValueError, match=r"train it with `python dev\.py train parser"):
        bench_photos.run([*words, "--weights", str(tmp_path / "none.safetensors")])


def test_the_rules_are_measured_in_the_parsers_classes(monkeypatch, tmp_path, drawn_street):
    """A backend that answers with the truth in ATR numbers is right everywhere."""
    from types import SimpleNamespace

    from atelier.craft.body.labels import ATR
    from atelier.dev.train.body.street_photos import cached, open_folder
    from atelier.host.body import body_backends

    drawn_street.write_indexed(tmp_path / "data")
    photos = cached(open_folder(tmp_path / "data"), "test", tmp_path / "kept", lambda: drawn_street.find_joints)
    answers = iter(photos.labels)
    atr = {CLASSES.index(meaning): ATR.index(name) for name, meaning in bench_photos.RULES.items()}
    table = np.array([atr.get(number, 0) for number in range(256)], np.uint8)
    monkeypatch.setattr(
        body_backends, "photo_backend", lambda: lambda picture: SimpleNamespace(garments=table[next(answers)])
    )
    figures = bench_photos.rules_column(photos)
    assert all(figures[name] == 1 for name in ("top", "trousers", "skirt", "hair", "skin", "shoes", "bag"))
