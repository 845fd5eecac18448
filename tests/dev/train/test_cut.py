"""What words say of a garment's cut, and which cells and attentions are held to it."""

import math

import numpy as np
import pytest
import torch
from atelier.craft.body.labels import ATR
from atelier.croquis import random_figure
from atelier.dev.train.designer.cut import CUT, GARMENTS, UNSAID, CutReadouts, said_cuts
from atelier.dev.train.designer.design_prompts import PromptMix, caption_pieces, prompt
from atelier.dev.train.layout import garment_edges

PLAIN = PromptMix(empty=0, by_level=0, shuffled=0, thinned=0, phrases=0, other_words=0, unknown=0, opening=0)
COLUMNS = list(CUT)


def test_what_the_prompt_says_is_told_of_its_garment():
    for seed in range(30):
        spec = random_figure(seed, (None, ("upper", "lower", "upper"), ("overall", "shoe", "bag"))[seed % 3])
        table = said_cuts(prompt(spec, 0, np.random.default_rng(0), PLAIN), spec.garments)
        said = {(p.owner, p.says) for item in caption_pieces(spec) for p in item if p.says in CUT}
        assert len(said) >= 2 and (table != UNSAID).sum() == len(said)
        for owner, what in said:
            assert CUT[what][table[owner, COLUMNS.index(what)]] == getattr(spec.garments[owner], what)


def test_what_the_prompt_does_not_say_is_not_asked():
    spec, by_level = random_figure(4), PromptMix(**{**vars(PLAIN), "by_level": 1.0})
    counts = [(said_cuts(prompt(spec, t, np.random.default_rng(0), by_level), spec.garments) != UNSAID).sum()
              for t in (950, 850, 750, 650, 600, 300)]  # fmt: skip
    assert counts == sorted(counts) and counts[0] == 0 and counts[-1] >= 4


def _readouts(width):
    torch.manual_seed(0)
    readouts = CutReadouts([width])
    with torch.no_grad():
        readouts.readouts[0].weight.zero_(), readouts.readouts[0].bias.zero_()
    return readouts


def test_only_cells_of_a_garment_with_words_are_asked():
    owner = torch.tensor([[[0, 1], [-1, 0]]], dtype=torch.int8)
    cuts = torch.full((1, GARMENTS, len(CUT)), UNSAID, dtype=torch.int8)
    cuts[0, 1, COLUMNS.index("hem")] = 2
    readouts, given = _readouts(4), torch.zeros(1, 4, 4)
    given[0, 1] = 1.0  # the cell of garment 1
    assert readouts([given], cuts, owner).item() == pytest.approx(math.log(len(CUT["hem"])))
    first = sum(len(choices) for name, choices in CUT.items() if name != "hem")  # hem comes last
    with torch.no_grad():
        readouts.readouts[0].weight[first + 2] = 5.0
    assert readouts([given], cuts, owner) < 1e-3
    given[0, [0, 2, 3]] = -9.0  # nobody asks the other cells
    assert readouts([given], cuts, owner) < 1e-3
    cuts[0, 1, COLUMNS.index("hem")] = 3
    assert readouts([given], cuts, owner) > 5
    nothing = readouts([given.requires_grad_()], torch.full_like(cuts, UNSAID), owner)
    nothing.backward()
    assert nothing == 0 and given.grad.abs().max() == 0


@pytest.mark.parametrize("said", [True, False])
def test_every_readout_has_a_gradient_even_where_it_is_not_asked(said):
    """Processes that train together wait for every parameter's gradient; the second attention sees every other cell."""
    owner = torch.tensor([[[0, 1], [-1, 0]]], dtype=torch.int8)
    cuts = torch.full((1, GARMENTS, len(CUT)), UNSAID, dtype=torch.int8)
    if said:
        cuts[0, 1, COLUMNS.index("hem")] = 2
    readouts = CutReadouts([4, 4])
    readouts([torch.ones(1, 4, 4), torch.ones(1, 1, 4)], cuts, owner).backward()
    asked = [bool(p.grad.abs().max() > 0) for p in readouts.readouts[0].parameters()]
    assert asked == [said, said] and all(p.grad is not None for p in readouts.parameters())
    assert all(p.grad.abs().max() == 0 for p in readouts.readouts[1].parameters())


def test_coarser_attentions_ask_every_second_cell():
    owner = torch.full((1, 4, 4), -1, dtype=torch.int8)
    owner[0, 2, 2] = 0  # the last cell of the 2x2 grid
    cuts = torch.zeros((1, GARMENTS, len(CUT)), dtype=torch.int8)
    readouts, given = _readouts(1), torch.zeros(1, 4, 1)
    with torch.no_grad():
        readouts.readouts[0].weight[0] = 9.0
    before = readouts([given], cuts, owner)
    given[0, 3] = 1.0
    assert readouts([given], cuts, owner) < before


def test_edges_are_the_cells_that_a_garments_outline_crosses():
    labels = torch.zeros(1, 12, 8, dtype=torch.uint8)
    skirt, leg = ATR.index("skirt"), ATR.index("left-leg")
    labels[:, :6, :4] = skirt  # one cell and a half
    labels[:, 8:, 5:] = leg  # an edge, but not a garment's
    assert garment_edges(labels).tolist() == [[[0.0, 0.0], [1.0, 0.0], [0.0, 0.0]]]
    labels[:, 6:8, :4] = skirt
    assert garment_edges(labels).sum() == 0  # the cells are full now
