"""Layout readouts: what they ask for, where, and of which features."""

import math

import pytest
import torch
from atelier.craft.body.labels import ATR
from atelier.dev.train.layout import LayoutReadouts, layout_loss, layout_shares


def test_layout_readouts_are_held_to_labels_and_ink_where_they_lie():
    labels = torch.zeros(1, 8, 8, dtype=torch.uint8)
    labels[:, :4, 4:] = ATR.index("skirt")  # the latent cell above right
    ink = torch.zeros(1, 4, 4, dtype=torch.uint8)
    ink[:, 0, 0] = 255
    wanted = layout_shares(labels, ink).view(len(ATR) + 1, 4, 2, 2)
    assert wanted[ATR.index("skirt"), :, 0, 1].tolist() == [1] * 4 and wanted[ATR.index("skirt")].sum() == 4
    assert wanted[-1].nonzero().tolist() == [[0, 0, 0]]  # the first quarter of the first cell
    wanted = wanted.view(1, -1, 2, 2)
    right, elsewhere = 20 * wanted - 10, 20 * wanted.flip(3) - 10
    assert layout_loss(right, wanted) < 1e-3 < 1 < layout_loss(elsewhere, wanted)
    assert layout_loss(torch.zeros_like(wanted), wanted).item() == pytest.approx(
        math.log(len(ATR)) + math.log(2), abs=1e-5
    )


def test_cells_outside_are_not_asked():
    wanted = layout_shares(torch.zeros(1, 8, 8, dtype=torch.uint8), torch.zeros(1, 4, 4, dtype=torch.uint8))
    right = 20 * wanted - 10
    wrong_left = torch.cat([-right[..., :1], right[..., 1:]], 3)
    where = torch.tensor([[[0.0, 1.0], [0.0, 1.0]]])
    assert layout_loss(wrong_left, wanted, where) < 1e-3 < 1 < layout_loss(wrong_left, wanted, 1 - where)


def test_readouts_read_the_last_call_and_push_the_network():
    torch.manual_seed(0)
    network = torch.nn.Conv2d(3, 8, 1)
    readouts = LayoutReadouts([(network, 8)])
    wanted = layout_shares(torch.full((1, 8, 8), 4, dtype=torch.uint8), torch.zeros(1, 4, 4, dtype=torch.uint8))
    first, second = torch.randn(1, 3, 2, 2), torch.randn(1, 3, 2, 2)
    network(first)
    readouts.forget()
    network(second)
    loss = readouts(wanted)
    assert torch.allclose(loss, layout_loss(readouts.readouts[0](network(second)), wanted))
    readouts.forget()
    loss.backward()
    assert network.weight.grad.abs().max() > 0
    with pytest.raises(ValueError):
        readouts(wanted)  # nothing was called since
