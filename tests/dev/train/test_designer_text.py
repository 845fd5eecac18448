"""What the designer is told: prompts are captions, cut where C(t) cuts them; the text encoder means what they say."""

import dataclasses

import numpy as np
import torch
from atelier.craft.prompt.timetable import PUBLISHED_BORDERS, from_caption
from atelier.croquis import random_figure
from atelier.croquis.captions import figure_caption
from atelier.dev.train.designer import design_meaning, design_prompts
from atelier.dev.train.designer.design_prompts import Piece, PromptMix, caption_pieces, prompt
from atelier.models.studio.designer.text_encoder import END, START, VOCABULARY, TextConfig, TextEncoder, whole_table

PLAIN = PromptMix(empty=0, by_level=0, shuffled=0, thinned=0, phrases=0, other_words=0, unknown=0, opening=0)
OUTFITS = (None, ("upper", "lower", "upper"), ("overall", "shoe", "bag"))


def _text(pieces):
    return "".join(piece.text for piece in pieces)


def test_pieces_are_the_caption_and_know_whose_they_are():
    for seed in range(60):
        spec = random_figure(seed, OUTFITS[seed % 3])
        assert _text(prompt(spec, 0, np.random.default_rng(seed), PLAIN)) == figure_caption(spec)["text"]
        owned = {p.owner for item in caption_pieces(spec) for p in item}
        assert owned >= set(range(len(spec.garments)))


def test_prompts_are_cut_where_the_published_schedule_cuts_them():
    mix = PromptMix(**{**vars(PLAIN), "by_level": 1.0})
    for seed in range(20):
        spec = random_figure(seed)
        timetable = from_caption(figure_caption(spec)["text"])
        for t in (999, *PUBLISHED_BORDERS, *(b - 1 for b in PUBLISHED_BORDERS), 0):
            said = _text(prompt(spec, int(t), np.random.default_rng(0), mix)).replace(", ", ",")
            assert said == timetable.text_at(t).replace(", ", ","), t


def test_tokens_of_pieces_are_those_of_the_whole_text(words):
    rng = np.random.default_rng(1)
    for seed in range(60):
        pieces = prompt(
            random_figure(seed, OUTFITS[seed % 3]),
            int(rng.integers(1000)),
            rng,
            PromptMix(unknown=0, empty=0, thinned=0),
        )
        rows, owners, grounds = words.encode(pieces)
        whole = words._tokenizer(_text(pieces), add_special_tokens=True).input_ids[:-1][:76]
        assert rows[: len(whole)].tolist() == [words.rows[token] for token in whole]
        assert ((grounds == owners) | (grounds == design_prompts.NOBODY)).all() and (grounds >= 0).any()
        assert (rows[len(whole) :] == words.rows[END]).all() and (owners[len(whole) :] == design_prompts.NOBODY).all()


def test_unknown_words_share_one_row(words):
    rows, _, _ = words.encode([Piece("a zeppelin in ")])
    assert rows[0] == words.rows[START] and design_prompts.UNKNOWN in rows.tolist()
    known = torch.randn(1 + len(words.numbers), 4)
    table = whole_table(known, words.numbers)
    assert table.shape == (VOCABULARY, 4)
    navy, zeppelin = words.tokens("navy")[0], words.tokens("zeppelin")[0]
    assert torch.equal(table[navy], known[words.rows[navy]])
    assert torch.equal(table[zeppelin], known[0]) and not torch.equal(table[navy], known[0])


def test_words_mean_what_was_said_of_their_garment_so_far(words):
    pieces = [Piece("navy", 0, 0, "ground"), Piece(" Tee", 0, 0, "kind"), Piece(" and "), Piece("red", 1, 0, "ground"),
              Piece(" Skirt", 1, 0, "kind"), Piece(", "), Piece("Long", 1, 1, "length")]  # fmt: skip
    spec = random_figure(3, ("upper", "lower"))
    spec = dataclasses.replace(spec, garments=(
        dataclasses.replace(spec.garments[0], colours=((36, 48, 88), (0, 0, 0), (0, 0, 0))),
        dataclasses.replace(spec.garments[1], kind="skirt", length="long",
        colours=((196, 44, 50), (0, 0, 0), (0, 0, 0))),
    ))  # fmt: skip
    told = design_meaning.meaning(pieces, spec, words)
    places, starts = design_meaning.PLACES, np.cumsum([1] + [len(words.rows_of(piece)) for piece in pieces])
    navy, red = (np.array(design_meaning.rgb(colour), np.float32) for colour in ((36, 48, 88), (196, 44, 50)))
    ground = told[:, places["ground"] : places["ground"] + 3]
    assert (told[0] == 0).all()  # nothing was said yet
    assert (ground[starts[0]] == navy).all() and (ground[starts[1]] == navy).all()  # the noun knows its adjective
    assert (ground[starts[3]] == red).all() and (ground[starts[4]] == red).all()
    below = told[-1, places["ground2"] : places["ground2"] + 3]
    assert (ground[-1] == navy).all() and (below == red).all()  # the padding tells of both
    assert told[starts[5], places["length"]] == 0 and told[starts[6], places["length"]] == 1.5


def test_a_taught_text_encoder_means_it(words):
    errors = []
    encoder = design_meaning.teach(words, 40, 5_600_000, batch=16, report=lambda step, error: errors.append(error))
    rows, wanted = design_meaning.captions(words, 90_000, 32)
    with torch.no_grad():
        right = ((encoder(rows)[..., : design_meaning.USED] - wanted) ** 2).mean()
        wrong = ((encoder(rows.roll(1, 0))[..., : design_meaning.USED] - wanted) ** 2).mean()
    assert np.mean(errors[-5:]) < 0.8 * np.mean(errors[:5]) and right < wrong


def test_a_taught_text_encoder_can_be_taught_further_and_keeps_its_own_places(words):
    start = design_meaning.teach(words, 12, 1, batch=8)
    errors = []
    further = design_meaning.teach(
        words, 25, 900, batch=8, lr=2e-3, report=lambda step, error: errors.append(error), start=start
    )
    rows, wanted = design_meaning.captions(words, 5000, 16)
    with torch.no_grad():
        before, after = start(rows), further(rows)
    used = design_meaning.USED
    assert ((after[..., :used] - wanted) ** 2).mean() < 0.95 * ((before[..., :used] - wanted) ** 2).mean()
    changed = ((after - before) ** 2).mean((0, 1))
    assert changed[used:].mean() < 0.5 * changed[:used].mean()


def test_the_text_encoder_is_transformers_clip():
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(0)
    mine = TextEncoder(TextConfig(32, 2, 2), words=VOCABULARY).eval()
    theirs = CLIPTextModel(CLIPTextConfig(**TextConfig(32, 2, 2).clip())).eval()
    missing, unexpected = theirs.load_state_dict(mine.state_dict(), strict=False)
    assert not unexpected and all(name.endswith("position_ids") for name in missing)
    rows = torch.randint(0, VOCABULARY, (2, 77))
    with torch.no_grad():
        torch.testing.assert_close(mine(rows), theirs(rows).last_hidden_state, rtol=1e-4, atol=1e-5)
