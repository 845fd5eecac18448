"""The wardrobe recipe: its pool, its batches, its losses, and the layouts that it reads."""

import json

import numpy as np
import pytest
import torch
from atelier.dev.train.wardrobe import fashion_sets
from atelier.dev.train.wardrobe import wardrobe as recipe
from atelier.dev.train.wardrobe import wardrobe_pool as pool_of
from atelier.dev.train.wardrobe.wardrobe_batch import DrawnBatches, drawn_batch
from atelier.models.studio.wardrobe import wardrobe_network as net
from atelier.models.studio.wardrobe import wardrobe_words as words
from atelier.models.studio.wardrobe.wardrobe_attributes import KINDS, named
from PIL import Image

TINY = net.WardrobeConfig(trunk=(4, 8, 8, 16), width=16, depth=2, heads=2, queries=3, dim=8)


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    return pool_of.pool_of_garments(10, tmp_path_factory.mktemp("pool"), 4000, view="flat")


def test_a_pair_differs_in_one_or_two_attributes(pool):
    changes = (pool.numbers[:, 0] != pool.numbers[:, 1]).sum(1)
    assert (changes >= 1).all() and (
        changes <= 5
    ).all()  # a new pattern brings a second colour, no sleeves take their type
    again = pool_of.draw_pair(4003, "flat")
    assert np.array_equal(again[0], pool.pictures[3].numpy()) and np.array_equal(again[1], pool.numbers[3].numpy())


def test_a_stopped_drawing_goes_on(tmp_path):
    first = pool_of.pool_of_garments(4, tmp_path, 4000, drawn=2, view="flat")
    assert [bool(row.any()) for row in first.numbers] == [True, True, False, False]
    kept = first.pictures[0].clone()
    first.pictures[0] = 7  # not drawn again: what is there is taken
    whole = pool_of.pool_of_garments(4, tmp_path, 4000, view="flat")
    assert bool(whole.numbers.any((1, 2)).all()) and (whole.pictures[0] == 7).all() and not (kept == 7).all()


def test_captions_fit_by_what_they_say(pool):
    batch = drawn_batch(pool, torch.arange(10), np.random.default_rng(1), None, 0.4)
    assert batch.fits.diagonal().all() and not batch.same[0, 10]
    numbers = pool.numbers.transpose(0, 1).flatten(0, 1)
    for picture, caption in batch.fits.nonzero().tolist():
        said = words.read_caption([i for i in batch.captions[caption].tolist() if i > words.SEP])
        has = named(numbers[picture].tolist())
        for kind in set(said) - {"colour", "second colour"}:
            assert has.get(kind) == said[kind]
    assert int(batch.fits.sum()) > 20, "captions that say little fit more than their own garment"
    assert int(drawn_batch(pool, torch.arange(10), np.random.default_rng(1), None, 1.0).fits.sum()) == 20


def test_batches_repeat_by_seed_and_draw_beside(tmp_path):
    pool = pool_of.pool_of_garments(6, tmp_path, 4000, drawn=3, view="flat")
    batches = iter(DrawnBatches(pool, 3, seed=5, drawing=1))
    first = next(batches)
    assert int(pool.numbers.any((1, 2)).sum()) == 4 and first.pictures.shape[:2] == (6, 3)
    assert float(first.pictures.min()) >= 0 and float(first.pictures.max()) <= 1
    assert (
        next(iter(DrawnBatches(pool, 3, seed=5))).captions.tolist()
        == next(iter(DrawnBatches(pool, 3, seed=5))).captions.tolist()
    )


def test_every_loss_reaches_its_part_and_learns(pool):
    torch.manual_seed(0)
    network = net.WardrobeNetwork(TINY)
    batch = drawn_batch(pool, torch.arange(6), np.random.default_rng(1), None, 1.0)
    made = recipe.all_losses(network, batch, 6, 0.1)
    assert set(made) == {"lm", "itc", "itm", "cir", "ttc"}
    reached = {
        "lm": network.language_head,
        "itc": network.text_proj,
        "itm": network.itm_head,
        "cir": network.text_proj,
        "ttc": network.vision_proj,
    }
    for name, part in reached.items():
        network.zero_grad()
        made[name].backward(retain_graph=True)
        assert part.weight.grad.abs().max() > 0 and network.trunk.stem[0][0].weight.grad.abs().max() > 0, name
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    before = {name: float(value.detach()) for name, value in made.items()}
    for _ in range(25):
        losses = recipe.all_losses(network, batch, 6, 0.1)
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
    after = {name: float(value.detach()) for name, value in losses.items()}
    assert after["lm"] < 0.8 * before["lm"] and after["itc"] < 0.9 * before["itc"]
    assert set(recipe.all_losses(network, batch, 6, 0.1, joint=False)) == {"lm", "itc"}


def test_captions_that_fit_are_no_negatives():
    from atelier.models.unifashion import losses

    torch.manual_seed(0)
    images, texts = torch.randn(3, 2, 4), torch.randn(3, 4)
    also = torch.tensor([[True, True, False], [False, True, False], [False, False, True]])
    best = losses.similarity(images, texts).amax(-1) / 0.1
    left = best.clone()
    left[0, 1] = losses.NEVER
    own = torch.arange(3)
    expected = torch.nn.functional.cross_entropy(left, own) + torch.nn.functional.cross_entropy(left.T, own)
    torch.testing.assert_close(losses.contrastive(images, texts, torch.tensor(0.1), also), expected)
    assert losses.contrastive(images, texts, torch.tensor(0.1)) > expected


def test_the_rate_falls_at_the_end():
    module = recipe.WardrobeTraining(recipe.Recipe(warm_up=10, decay=0.5), steps=100)
    assert (
        module.rate(0) == pytest.approx(0.1)
        and module.rate(50) == 1
        and module.rate(75) == pytest.approx(0.5)
        and module.rate(100) == 0
    )


# ------------------------------------------------------------------------------------------------ layouts on disk
@pytest.fixture
def fashion_iq(tmp_path):
    (tmp_path / "captions").mkdir()
    (tmp_path / "images").mkdir()
    for number in range(4):
        Image.fromarray(np.full((40, 30, 3), 40 * number, np.uint8)).save(
            tmp_path / "images" / f"B{number}.{'png' if number % 2 else 'jpg'}"
        )
    rows = [{"candidate": "B0", "target": "B1", "captions": ["is red", "has longer sleeves"]},
            {"candidate": "B2", "target": "B3", "captions": ["is not so fancy", "is a black dress"]},
            {"candidate": "B1", "target": "B3", "captions": ["is nicer", "is cool"]}]  # fmt: skip
    (tmp_path / "captions" / "cap.dress.train.json").write_text(json.dumps(rows))
    return tmp_path


def test_fashion_iq_becomes_batches_of_changes(fashion_iq):
    triplets = fashion_sets.read_fashion_iq(fashion_iq, "dress")
    assert len(triplets) == 3 and triplets[0].candidate.name == "B0.jpg" and triplets[0].target.name == "B1.png"
    data = fashion_sets.FashionIQBatches(triplets, 8)
    assert data.left_out == 1
    batches = iter(data)
    told = set()
    for _ in range(12):
        batch = next(batches)
        assert batch.before.tolist() == [0, 1] and batch.after.tolist() == [2, 3] and batch.pictures.shape[0] == 4
        told |= {" ".join(words.words_of([i for i in row if i > words.SEP])) for row in batch.wishes.tolist()}
    assert {"red and longer sleeve", "longer sleeve and red", "red", "longer sleeve"} <= told
    made = recipe.all_losses(net.WardrobeNetwork(TINY), batch, 4, 0.1)
    assert set(made) == {"cir"} and torch.isfinite(made["cir"])


def test_fashion_iq_says_what_is_wrong(fashion_iq, tmp_path):
    with pytest.raises(ValueError, match=r"cap\.shirt\.train\.json is missing"):
        fashion_sets.read_fashion_iq(fashion_iq, "shirt")
    with pytest.raises(ValueError, match="dress, shirt, toptee"):
        fashion_sets.read_fashion_iq(fashion_iq, "hat")
    (fashion_iq / "images" / "B3.png").unlink()
    with pytest.raises(ValueError, match="no picture B3"):
        fashion_sets.read_fashion_iq(fashion_iq, "dress")
    (fashion_iq / "captions" / "cap.dress.train.json").write_text("[{}]")
    with pytest.raises(ValueError, match="entry 0 lacks"):
        fashion_sets.read_fashion_iq(fashion_iq, "dress")


@pytest.mark.parametrize("form", ["hdf5", "lines"])
def test_fashiongen_becomes_batches_of_captions(tmp_path, form):
    captions = ["Long sleeve dress in navy.", "Slim-fit trousers in black.", "Nothing that anyone knows."]
    pictures = np.full((3, 32, 32, 3), 250, np.uint8)
    pictures[:, 8:20, 8:20] = np.array([10, 20, 90])
    if form == "hdf5":
        h5py = pytest.importorskip("h5py")
        with h5py.File(tmp_path / "fashiongen_256_256_train.h5", "w") as file:
            file["input_image"] = pictures
            file["input_description"] = np.array([[c.encode("latin-1")] for c in captions])
    else:
        (tmp_path / "image").mkdir()
        for number, array in enumerate(pictures):
            Image.fromarray(array).save(tmp_path / "image" / f"{number}.jpg")
        lines = [
            json.dumps({"image": f"x/{number}.jpg", "caption": caption}) for number, caption in enumerate(captions)
        ]
        (tmp_path / "annotation_train.jsonl").write_text("\n".join(lines))
    data = fashion_sets.FashionGenBatches(fashion_sets.read_fashiongen(tmp_path), 8)
    assert data.left_out == 1
    batch = next(iter(data))
    told = {" ".join(words.words_of([i for i in row if i > words.SEP])) for row in batch.captions.tolist()}
    assert told == {"long sleeve dress with navy", "slim trousers with black"} and batch.fits.tolist() == [
        [True, False],
        [False, True],
    ]
    made = recipe.all_losses(net.WardrobeNetwork(TINY), batch, 4, 0.1)
    assert set(made) == {"lm", "itc", "itm"} and all(torch.isfinite(value) for value in made.values())


def test_fashiongen_says_what_is_wrong(tmp_path):
    with pytest.raises(ValueError, match="no FashionGen folder"):
        fashion_sets.read_fashiongen(tmp_path)
    (tmp_path / "annotation_train.jsonl").write_text('{"image": "1.jpg", "caption": "a red dress"}')
    with pytest.raises(ValueError, match=r"image/1\.jpg is missing"):
        fashion_sets.read_fashiongen(tmp_path)
    (tmp_path / "annotation_train.jsonl").write_text("{}")
    with pytest.raises(ValueError, match="line 1"):
        fashion_sets.read_fashiongen(tmp_path)


def test_kinds_are_all_told(pool):
    told = {kind for row in pool.numbers.flatten(0, 1).tolist() for kind in named(row)}
    assert told >= set(KINDS) - {"motif"}
