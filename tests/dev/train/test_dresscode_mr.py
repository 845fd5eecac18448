"""The try-on recipe reads a folder in DressCode-MR's layout."""

import json

import numpy as np
import pytest
import torch
from atelier.dev.train.tryon.dresscode_mr import MAPS, DressCodeMR, annotation, read_records
from PIL import Image

RECORDS = [
    {"person": "a/person/1.jpg", "upper": "a/upper/1.jpg", "lower": "a/lower/1.jpg"},
    {"person": "a/person/2.jpg", "overall": "a/overall/2.jpg", "shoe": "", "bag": "a/bag/2.jpg"},
    {"person": "a/person/3.jpg", "upper": "a/upper/3.jpg"},
]


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)

    def picture(name, size, mode="RGB"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shape = (size[1], size[0], 3) if mode == "RGB" else (size[1], size[0])
        array = rng.integers(0, 255, shape, dtype=np.uint8) if mode == "RGB" else np.zeros(shape, np.uint8)
        if mode == "P":
            array[20:60, 20:40] = 4 if "atr" in name else 5 if "lip" in name else 1
        image = Image.fromarray(array, "RGB" if mode == "RGB" else "P")
        if mode == "P":
            image.putpalette(list(range(256)) * 3)
        image.save(path)

    for record in RECORDS:
        picture(record["person"], (72, 96))
        for kind in MAPS:
            picture(annotation(record["person"], kind), (72, 96), "RGB" if kind == "dwpose" else "P")
        for name in ("upper", "lower", "overall", "bag"):
            if record.get(name):
                picture(record[name], (50, 50))
    (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, RECORDS)) + "\n")
    return tmp_path


def test_batches_hold_what_the_lines_say(folder):
    data = DressCodeMR(folder, batch=2, size=(96, 128), garment_size=(48, 64))
    batches = [data.make(i) for i in range(len(data.batches_of(0)))]
    assert sorted(tuple(b.labels.shape) for b in batches) == [(1, 1), (2, 2)]
    two = next(b for b in batches if b.labels.shape[1] == 2)
    assert {tuple(row.tolist()) for row in two.labels} == {(0, 1), (2, 4)}
    assert two.person.shape == (2, 3, 128, 96) and two.flats.shape == (2, 2, 3, 64, 48)
    assert two.mask.bool().any() and not two.mask.bool().all()
    assert (two.owner == -1).all()


def test_every_line_comes_once_an_epoch(folder):
    data = DressCodeMR(folder, batch=1, size=(96, 128), garment_size=(48, 64))
    for epoch in range(2):
        seen = [row["person"] for batch in data.batches_of(epoch) for row in batch]
        assert sorted(seen) == [r["person"] for r in RECORDS]


def test_the_recipe_takes_such_a_batch(folder):
    from atelier.dev.train.latents import Latents
    from atelier.dev.train.tryon.tryon import Recipe, TryOnTraining
    from atelier.models.fastfit.network import Config

    batch = DressCodeMR(folder, batch=2, size=(96, 128), garment_size=(48, 64)).make(0)
    basis = torch.linalg.qr(torch.randn(192, 8))[0]
    latents = Latents(basis.T.contiguous(), basis.contiguous(), torch.full((192,), 0.5))
    module = TryOnTraining(
        latents, Config(widths=(32, 64), attention=(True, True), head_dim=16, latent_channels=8), Recipe(empty=0.0)
    )
    loss, parts = module.loss(batch, torch.Generator().manual_seed(0))
    assert torch.isfinite(loss) and "where" not in parts
    loss.backward()


def test_a_missing_file_is_named(folder):
    (folder / "a/annotations/lip/2.png").unlink()
    data = DressCodeMR(folder, batch=1, size=(96, 128), garment_size=(48, 64))
    with pytest.raises(FileNotFoundError, match=r"lip.2\.png"):
        for i in range(3):
            data.make(i)


def test_a_bad_line_is_named(folder):
    (folder / "train.jsonl").write_text('{"person": "a/person/1.jpg"}\n')
    with pytest.raises(ValueError, match="line 1 needs"):
        read_records(folder)
    (folder / "train.jsonl").unlink()
    with pytest.raises(FileNotFoundError, match=r"train\.jsonl"):
        read_records(folder)
