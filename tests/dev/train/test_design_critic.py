"""The designer's critic: what it is asked, that it can be taught, and that its push moves guesses towards an answer."""

import numpy as np
import pytest
import torch
from atelier.croquis import random_figure
from atelier.dev.train.attribute_classifier import HEADS
from atelier.dev.train.designer import design_critic
from atelier.dev.train.designer.design_critic import ASKED, UNASKED, DesignCritic, asked, mirrored, roughened
from atelier.dev.train.designer.design_prompts import PromptMix, prompt
from atelier.dev.train.run import studio_latents

PLAIN = PromptMix(empty=0, by_level=0, shuffled=0, thinned=0, phrases=0, other_words=0, unknown=0, opening=0)


@pytest.fixture(scope="module")
def latents(tmp_path_factory):
    return studio_latents(tmp_path_factory.mktemp("latents"), figures=40)


def _said(seed, t=0, kinds=None, **mix):
    spec = random_figure(seed, kinds)
    return spec, asked(prompt(spec, t, np.random.default_rng(0), PromptMix(**{**vars(PLAIN), **mix})), spec)


def test_asked_is_what_the_caption_says_of_top_and_bottom():
    for seed in range(30):
        spec, table = _said(seed)
        top, bottom = spec.garments[0], spec.garments[-1]
        told = {name: HEADS[name][number] for name, number in zip(ASKED, table) if number != UNASKED}
        assert told["length"] == bottom.length and told["hem"] == bottom.hem and told["collar"] == top.collar
        assert told["top pattern"] == top.pattern and told["bottom kind"] == bottom.kind
        assert told.get("sleeve type", top.sleeve_type) == top.sleeve_type


def test_what_is_not_said_is_not_asked():
    _, late = _said(4, 950, by_level=1.0)
    names = {name for name, number in zip(ASKED, late) if number != UNASKED}
    assert "hem" not in names and "collar" not in names and "top pattern" in names
    _, empty = _said(4, empty=1.0)
    _, jacket = _said(4, kinds=("upper", "lower", "upper"))
    assert (empty == UNASKED).all() and (jacket == UNASKED).all()


def test_rough_latents_are_weaker_and_noisier_and_some_stay():
    clean = torch.ones(200, 32, 4, 4)
    rough = roughened(clean, torch.Generator().manual_seed(0))
    means = rough.mean((0, 2, 3))
    assert means[0] > 0.9 and means[-1] < 0.75 and means[-1] > 0.3
    assert rough.std((1, 2, 3)).min() < 0.1 and rough.std((1, 2, 3)).max() > 0.5


def test_mirroring_twice_is_nearly_the_figure_itself(latents):
    codes, joints, _ = design_critic.pool(2, latents)
    once = mirrored(latents, codes.float(), joints)
    back, places = mirrored(latents, *once)
    lost = (back - codes).square().mean() / codes.float().var()  # a mirrored patch is not quite in the latents' reach
    assert lost < 0.01 and torch.allclose(places, joints, atol=1e-4)
    assert (once[0] - codes).square().mean() / codes.float().var() > 0.2, "control: one mirroring is another picture"


def test_a_critic_is_taught_kept_and_its_push_helps(latents, tmp_path, monkeypatch):
    monkeypatch.setattr(design_critic, "ASKED", ("top pattern",))
    rights = []
    critic = design_critic.teach(
        latents, 60, figures=24, batch=12, report=lambda step, loss, right: rights.append(right)
    )
    assert np.mean(rights[-8:]) > np.mean(rights[:8]) + 0.2
    assert not any(p.requires_grad for p in critic.parameters())
    codes, joints, numbers = design_critic.pool(8, latents)
    guess = (0.5 * codes.float()).requires_grad_()
    loss, _ = critic.loss(guess, joints, numbers)
    (push,) = torch.autograd.grad(loss, guess)
    moved = guess.detach() - 0.05 * guess.detach().norm() * push / push.norm()
    assert critic.loss(moved, joints, numbers)[0] < loss
    assert critic.loss(2 * guess.detach() - moved, joints, numbers)[0] > loss, "control: the other way"


def test_nothing_asked_is_no_loss(latents):
    critic = DesignCritic(latents)
    latent = torch.randn(2, 32, 32, 24, requires_grad=True)
    loss, right = critic.loss(latent, torch.rand(2, 18, 3) * 100, torch.full((2, len(ASKED)), UNASKED))
    assert loss.item() == 0 and right.item() == 0
    loss.backward()  # and has a gradient, of zeros
    assert latent.grad.abs().max() == 0
