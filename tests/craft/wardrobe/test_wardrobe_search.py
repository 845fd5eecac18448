"""Exact search: equal to brute force in float64, ties by path, filters, variety, and the ways to compose a query."""

import numpy as np
import pytest
import torch
from atelier.craft.wardrobe import composed_query, wardrobe_search
from atelier.craft.wardrobe.wardrobe_search import VectorMap, open_vectors, parse_filter, search
from atelier.craft.wardrobe.wardrobe_store import EncoderIdentity, Item, WardrobeStore

DIM = 24


def unit_rows(count, seed=0, dim=DIM):
    return torch.nn.functional.normalize(torch.randn(count, dim, generator=torch.Generator().manual_seed(seed)), dim=-1)


def make_store(folder, vectors, tokens=1, **words):
    folder.mkdir(exist_ok=True)
    store = WardrobeStore(folder, create=True)
    identity = EncoderIdentity("tiny", "h", vectors.shape[-1], tokens)
    store.claim(identity)
    store.put(
        [Item(f"{i:04}.png", 1, 1, hash=str(i), vector=v.numpy(), **{k: w[i] for k, w in words.items()})
         for i, v in enumerate(vectors)], identity,
    )  # fmt: skip
    return store


def brute_force(stored, score, k):
    return sorted(range(len(stored)), key=lambda row: (-score[row], row))[:k]


def test_text_search_equals_brute_force(tmp_path):
    with make_store(tmp_path / "w", unit_rows(500)) as store:
        vectors = open_vectors(store)
    query = unit_rows(1, seed=9)[0]
    hits = search(vectors, composed_query.by_text(query), 20)
    exact = (vectors.matrix.double() @ query.double()).numpy().round(7)
    assert [hit.row for hit in hits] == brute_force(exact, exact, 20)
    assert np.allclose([hit.score for hit in hits], exact[[hit.row for hit in hits]], atol=1e-7)
    assert hits[0].text_score == pytest.approx(hits[0].score, abs=1e-6) and hits[0].picture_score is None


def test_scores_closer_than_float16_are_still_ranked_right(tmp_path):
    base = unit_rows(1)[0]
    near = torch.stack([torch.nn.functional.normalize(base + 2e-4 * noise, dim=-1) for noise in torch.randn(60, DIM)])
    with make_store(tmp_path / "w", near.half()) as store:
        vectors = open_vectors(store)
    exact = (vectors.matrix.double() @ base.double()).numpy().round(7)
    assert [hit.row for hit in search(vectors, composed_query.by_text(base), 10)] == brute_force(exact, exact, 10)
    # Control: float16 scores alone cannot tell these rows apart.
    coarse = (vectors.matrix @ base.half()).float().numpy()
    assert brute_force(coarse, coarse, 10) != brute_force(exact, exact, 10)


def test_equal_pictures_come_in_the_order_of_their_paths(tmp_path):
    vectors = unit_rows(1).expand(50, -1)
    with make_store(tmp_path / "w", vectors) as store:
        hits = search(open_vectors(store), composed_query.by_text(unit_rows(1, seed=3)[0]), 7)
    assert [hit.row for hit in hits] == list(range(7))


def test_the_map_is_rebuilt_when_missing_old_or_damaged(tmp_path):
    store = make_store(tmp_path / "w", unit_rows(10))
    first = open_vectors(store)
    assert first.rows == 10
    file = next(store.folder.glob("vectors-*.npy"))
    del first
    file.write_bytes(file.read_bytes()[:200])
    assert open_vectors(store).rows == 10
    store.forget(["0003.png"])
    fewer = open_vectors(store)
    assert fewer.rows == 9 and 4 not in fewer.ids.tolist()
    assert len(list(store.folder.glob("vectors-*.npy"))) == 1
    store.close()


def test_several_vectors_a_picture_count_by_their_best(tmp_path):
    stored = unit_rows(12 * 4, seed=2).view(12, 4, DIM)
    with make_store(tmp_path / "w", stored, tokens=4) as store:
        vectors = open_vectors(store)
    query = unit_rows(1, seed=5)[0]
    best = (stored.half().double() @ query.double()).amax(-1).numpy().round(7)
    hits = search(vectors, composed_query.by_text(query), 5)
    assert [hit.row for hit in hits] == brute_force(best, best, 5)
    mean = (stored.half().double() @ query.double()).mean(-1).numpy()
    assert [hit.row for hit in hits] != brute_force(mean, mean, 5), "control: the mean over vectors ranks otherwise"
    # A picture of several vectors finds itself first.
    assert search(vectors, composed_query.by_picture(stored[7]), 1)[0].row == 7


def test_filter_and_hiding_the_query_and_its_copies(tmp_path):
    rows = unit_rows(6)
    rows[4] = torch.nn.functional.normalize(rows[1] + 0.01 * rows[2], dim=-1)
    with make_store(tmp_path / "w", rows, category=["upper", "upper", "lower", "dress", "upper", "bag"],
                    attributes=[(("colour", "Red", 0.9),), (), (("colour", "red", 0.5),), (),
                    (("colour", "blue", 0.7),), ()],
                    caption=["", "a silk top", "", "", "", ""]) as store:  # fmt: skip
        vectors = open_vectors(store)

        def found(text):
            ids = wardrobe_search.filtered_ids(store, *parse_filter(text), vectors.ids)
            return sorted(hit.row for hit in search(vectors, composed_query.by_text(rows[0]), 6, allowed=ids))

        assert found("category: upper") == [0, 1, 4]
        assert found("colour: red, colour: blue") == [0, 2, 4]
        assert found("colour: red; category: upper") == [0]
        assert found("-category: upper") == [2, 3, 5]
        assert found("caption: silk") == [1]
        assert found("category: shoes") == []
    query = composed_query.by_picture(rows[1])
    assert [hit.row for hit in search(vectors, query, 2)] == [1, 4]
    assert not {1, 4} & {hit.row for hit in search(vectors, query, 6, hide_like=rows[1][None])}
    for wrong in ("red", "colour:", ": red"):
        with pytest.raises(ValueError, match="kind: value"):
            parse_filter(wrong)


def test_variety_takes_one_of_a_crowd(tmp_path):
    query = unit_rows(1, seed=4)[0]
    crowd = torch.nn.functional.normalize(query + 0.02 * unit_rows(10, seed=5), dim=-1)
    others = torch.nn.functional.normalize(query + 1.0 * unit_rows(6, seed=6), dim=-1)
    with make_store(tmp_path / "w", torch.cat([crowd, others])) as store:
        vectors = open_vectors(store)
    plain = [hit.row for hit in search(vectors, composed_query.by_text(query), 4)]
    varied = [hit.row for hit in search(vectors, composed_query.by_text(query), 4, spread=0.6)]
    assert all(row < 10 for row in plain)
    assert varied[0] == plain[0] and sum(row < 10 for row in varied) == 1


def test_unwanted_words_push_down(tmp_path):
    wanted, unwanted = unit_rows(2, seed=7)
    rows = torch.nn.functional.normalize(
        torch.stack([wanted + 0.5 * unwanted, wanted + 0.9 * unit_rows(1, seed=8)[0]]), dim=-1
    )
    with make_store(tmp_path / "w", rows) as store:
        vectors = open_vectors(store)
    assert search(vectors, composed_query.by_text(wanted), 1)[0].row == 0
    assert search(vectors, composed_query.by_text(wanted, unwanted, 1.0), 1)[0].row == 1


@pytest.fixture(scope="module")
def two_cones():
    """A dual encoder with a modality gap: garments = kind + colour, pictures and words in cones of their own."""
    kinds, colours = unit_rows(12, seed=11, dim=64), unit_rows(8, seed=12, dim=64)
    gap_picture, gap_text = 3 * unit_rows(2, seed=13, dim=64)
    noise = unit_rows(96, seed=14, dim=64)
    pictures = torch.stack([kinds[i // 8] + colours[i % 8] + gap_picture + 0.2 * noise[i] for i in range(96)])
    words = torch.stack([kinds[i // 8] + colours[i % 8] + gap_text for i in range(96)])
    unit = torch.nn.functional.normalize
    pictures, words = unit(pictures, dim=-1), unit(words, dim=-1)
    colour_words = unit(colours + gap_text, dim=-1)
    vectors = VectorMap(pictures.half(), np.arange(96), pictures.mean(0), (pictures - pictures.mean(0)).norm(dim=-1), 1)
    return vectors, pictures, words, colour_words


def first_hits(two_cones, **options):
    """Share of (garment, wished colour) queries whose first hit is the same kind in that colour."""
    vectors, pictures, words, colour_words = two_cones
    right = total = 0
    for row in range(96):
        for colour in range(8):
            if colour == row % 8:
                continue
            chosen = dict(options)
            if options["method"] == "direction":
                chosen["present"] = colour_words[row % 8]
            query = composed_query.by_picture_and_change(
                pictures[row], colour_words[colour], picture_mean=vectors.mean, text_mean=words.mean(0), **chosen
            )
            hit = search(vectors, query, 1, hide_like=pictures[row][None])[0]
            right, total = right + (hit.row == row // 8 * 8 + colour), total + 1
    return right / total


def test_centred_slerp_composes_where_the_uncentred_sum_does_not(two_cones):
    centred = first_hits(two_cones, method="centred slerp", weight=0.5)
    assert centred > 0.9
    vectors, *_ = two_cones
    uncentred = VectorMap(vectors.matrix, vectors.ids, torch.zeros(64), torch.ones(96), 1)
    zero = torch.zeros(64)
    _, pictures, _, colour_words = two_cones
    right = 0
    for row in range(96):
        query = composed_query.by_picture_and_change(pictures[row], colour_words[(row + 1) % 8], weight=0.5,
                                                     picture_mean=zero, text_mean=zero)  # fmt: skip
        right += search(uncentred, query, 1, hide_like=pictures[row][None])[0].row == row // 8 * 8 + (row + 1) % 8
    assert right / 96 < centred - 0.2


def test_direction_and_sum_of_scores_compose_too(two_cones):
    assert first_hits(two_cones, method="direction", weight=0.5) > 0.9
    assert first_hits(two_cones, method="sum of scores", weight=0.5) > 0.5


def test_the_ends_of_the_weight_are_the_picture_and_the_words(two_cones):
    vectors, pictures, words, _ = two_cones
    options = {"picture_mean": vectors.mean, "text_mean": words.mean(0)}
    at = [composed_query.by_picture_and_change(pictures[5], words[50], weight=w, **options) for w in (0.0, 1.0)]
    assert search(vectors, at[0], 1)[0].row == 5 and search(vectors, at[1], 1)[0].row == 50


def test_slerp_is_on_the_sphere_and_half_way():
    a, b = unit_rows(2, seed=20)
    middle = composed_query.slerp(a, b, 0.5)
    assert float(middle.norm()) == pytest.approx(1, abs=1e-6)
    assert float(a @ middle) == pytest.approx(float(b @ middle), abs=1e-6)
    assert torch.allclose(composed_query.slerp(a, a, 0.7), a, atol=1e-6)


def test_what_a_method_needs_is_asked_for():
    a, b = unit_rows(2)
    with pytest.raises(ValueError, match="present"):
        composed_query.by_picture_and_change(a, b, method="direction")
    with pytest.raises(ValueError, match="index again"):
        composed_query.by_picture_and_change(a, b)
    with pytest.raises(ValueError, match="q-former"):
        composed_query.by_picture_and_change(torch.stack([a, b]), b)
