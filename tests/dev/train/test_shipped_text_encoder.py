"""The text encoder that ships says what captions say of a garment's cut."""

import numpy as np
import pytest
import torch
from atelier.croquis import random_figure
from atelier.croquis.garment import COLLARS, HEMS, SLEEVE_TYPES
from atelier.dev.train.designer.design_meaning import PLACES
from atelier.dev.train.designer.design_prompts import Piece, caption_pieces

FIRST_SEED, COUNT = 300, 200  # held-out figures
CUTS = {"sleeve_type": SLEEVE_TYPES, "collar": COLLARS, "hem": HEMS}


@pytest.fixture(scope="module")
def told(words):
    """(what each figure's garments have, what the encoder tells at the end of each caption [N,64])."""
    from atelier.dev.train.generator.generator_run import text_encoder

    have, rows = [], []
    for seed in range(FIRST_SEED, FIRST_SEED + COUNT):
        spec, pieces = random_figure(seed), []
        for item in caption_pieces(spec):
            pieces += [Piece(", ")] * bool(pieces) + item
        worn = [g for g in spec.garments if g.category in ("upper", "lower", "overall")]
        has = {"collar": worn[0].collar, "hem": worn[-1].hem}
        if worn[0].sleeve_length != "sleeveless":
            has["sleeve_type"] = worn[0].sleeve_type
        have.append(has)
        rows.append(words.encode(pieces)[0])
    encoder = text_encoder(words)
    with torch.no_grad():
        ends = [encoder(part)[:, -1] for part in torch.from_numpy(np.stack(rows)).split(50)]
    return have, torch.cat(ends)


@pytest.mark.parametrize("cut", CUTS)
def test_it_tells_every_cut(told, cut):
    have, ends = told
    first, values = PLACES[cut], CUTS[cut]
    answers = [values[int(row)] for row in ends[:, first : first + len(values)].argmax(1)]

    def right(wanted):
        asked = [(answer, has[cut]) for answer, has in zip(answers, wanted, strict=True) if cut in has]
        return np.mean([answer == value for answer, value in asked])

    assert right(have) >= 0.98
    assert right([*have[1:], have[0]]) < 0.5, "the control, another figure's caption, tells it too"
