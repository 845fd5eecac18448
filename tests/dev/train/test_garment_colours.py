"""The colours of garments: what a patch shows, which cells count, whose colour is asked, and where a push goes."""

import pytest
import torch
import torch.nn.functional as F
from atelier.craft.body.labels import ATR
from atelier.croquis import random_figure, render
from atelier.dev.train.designer.designer import push, slope_of
from atelier.dev.train.designer.garment_colours import SETTLED, colour_error, distribution_error, inside
from atelier.dev.train.run import studio_latents


@pytest.fixture(scope="module")
def latents(tmp_path_factory):
    return studio_latents(tmp_path_factory.mktemp("latents"), figures=40)


def test_cells_that_a_garments_edge_crosses_do_not_count():
    labels = torch.zeros(1, 8, 8, dtype=torch.uint8)  # two by two latent cells
    labels[:, :, 4:] = ATR.index("skirt")
    labels[:, 3, 4:] = ATR.index("upper-clothes")
    owner = torch.tensor([[[-1, 0], [-1, 1]]], dtype=torch.int8)
    assert inside(owner, labels).tolist() == [[[False, False], [False, True]]]
    assert inside(owner, None).tolist() == [[[False, True], [False, True]]]


def _figure(seed, latents):
    figure = render(random_figure(seed, ("upper", "lower")), want=("person", "coords", "parts"))
    person = torch.from_numpy(figure.person).permute(2, 0, 1)[None].float() / 255
    return latents.encode(person), torch.from_numpy(figure.owner)[None]


def _error(guess, clean, owner, t, latents):
    return colour_error(guess, clean, owner, inside(owner, None), torch.tensor([t]), latents).item()


def _red(latents, amount=0.4):
    """What makes a latent redder everywhere, [1,C,1,1], and the mean square of the change."""
    redder = latents.encode(torch.tensor([amount, 0, 0])[None, :, None, None].expand(1, 3, 8, 8))
    redder -= latents.encode(torch.zeros(1, 3, 8, 8))
    return redder, (latents.decode(redder) - latents.decode(redder * 0)).mean((2, 3)).square().mean().item()


@pytest.mark.parametrize("t", [999, SETTLED, SETTLED - 1, 50])
def test_every_garment_is_asked_for_its_own_colour(latents, t):
    clean, owner = _figure(3, latents)
    redder, shift = _red(latents)
    where = [(owner == garment)[:, None].float() for garment in (-1, 0, 1)]
    assert _error(clean, clean, owner, t, latents) == pytest.approx(0, abs=1e-9)
    top = _error(clean + where[1] * redder, clean, owner, t, latents)
    assert top == pytest.approx(shift / 2, rel=0.05), "one of two, though unlike in size"
    assert _error(clean + redder, clean, owner, t, latents) == pytest.approx(shift, rel=0.05)
    assert _error(clean + where[0] * redder, clean, owner, t, latents) == pytest.approx(0, abs=1e-9), "bare ground"
    nobody = torch.full_like(owner, -1)
    assert colour_error(clean, clean, nobody, inside(nobody, None), torch.tensor([t]), latents) is None


def test_a_blurred_pattern_is_an_error_only_where_patterns_show_and_its_place_is_none(latents):
    owner = torch.zeros(1, 4, 4, dtype=torch.int8)
    stripes = torch.zeros(1, 3, 32, 32)
    stripes[..., ::16], stripes[..., 1::16] = 1.0, 1.0
    clean = latents.encode(stripes)
    blurred = latents.encode(stripes.mean((2, 3), keepdim=True).expand_as(stripes))
    moved = latents.encode(stripes.roll(8, 3))
    early, late = _error(blurred, clean, owner, 999, latents), _error(blurred, clean, owner, 100, latents)
    assert late > 0.005 and early < 0.02 * late
    assert _error(moved, clean, owner, 100, latents) < 0.02 * late


def test_the_distance_of_distributions_is_that_of_a_shift():
    colours = torch.rand(3, 200, generator=torch.Generator().manual_seed(0))
    shift = torch.tensor([0.1, -0.2, 0.05])[:, None]
    found = distribution_error((colours + shift)[:, torch.randperm(200)], colours)
    assert found.square().mean().item() == pytest.approx(shift.square().mean().item(), rel=1e-4)


def test_a_push_has_the_length_that_it_says():
    guess = torch.randn(3, 4, requires_grad=True)
    main, seen = (guess**2).mean(), guess.detach().requires_grad_()
    length = 0.5 * slope_of(main, guess).norm()
    pushed = push(guess, seen, (seen - 1).square().sum(), length)
    (slope,) = torch.autograd.grad(main, guess)
    (made,) = torch.autograd.grad(pushed, guess)
    assert made.norm() / slope.norm() == pytest.approx(0.5, rel=1e-3)
    torch.testing.assert_close(F.normalize(made.flatten(), dim=0), F.normalize((seen - 1).flatten(), dim=0))
    with torch.no_grad():
        assert slope_of((guess**2).mean(), guess).abs().max() == 0
