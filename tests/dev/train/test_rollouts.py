"""Rollouts: prompts cut as the timetable cuts them, the steps of the host's Euler sampler, one begins as one ends."""

import numpy as np
import pytest
import torch
from atelier.dev.train.designer.design_critic import ASKED, UNASKED
from atelier.dev.train.designer.designer_data import LOWEST, SEEDS, DrawnDesigns
from atelier.dev.train.designer.rollouts import LEVELS, Rollouts, course
from atelier.dev.train.designer.rollouts import SEEDS as COURSE_SEEDS
from atelier.dev.train.noise import louder


@pytest.fixture(scope="module")
def ratios():
    alpha, sigma = louder(4.0)
    return (sigma / alpha).float()


def _begun(made, ratios, cfg=1.0):
    made.cfg = torch.tensor(cfg)
    rollouts, noise = Rollouts(ratios), torch.randn(4, 3, 2, generator=torch.Generator().manual_seed(0))
    rollouts.begin(made, noise)
    return rollouts, noise


def test_a_course_says_the_same_or_more_at_every_level(words):
    cut = whole = 0
    for seed in range(12):
        made = course(seed, words)
        assert made.t[0] == 999 and made.t[-1] == LOWEST and (made.t.diff() < 0).all()
        known = made.asked != UNASKED
        assert (known[1:] >= known[:-1]).all() and known[-1].any(), "what is said stays said"
        assert all(len(set(column[column != UNASKED].tolist())) <= 1 for column in made.asked.T)
        hem = known[:, ASKED.index("hem")]
        cut, whole = cut + (not hem[0] and bool(hem[-1])), whole + bool(hem[0])
        assert torch.equal(course(seed, words).words, made.words)
    assert cut and whole


def test_its_steps_are_the_hosts_euler_sampler(host, words, ratios):
    from comfy.k_diffusion.sampling import sample_euler

    made = course(3, words)
    rollouts, noise = _begun(made, ratios, cfg=2.5)

    def guessed(x, sigma):
        return torch.tanh(x / (1 + sigma.flatten()[0]))

    def unprompted(x, sigma):
        return torch.tanh(0.5 * x / (1 + sigma.flatten()[0]))

    def guided(x, sigma, **_):
        low = unprompted(x, sigma)
        return low + 2.5 * (guessed(x, sigma) - low)

    for _ in range(LEVELS):
        now = rollouts.now()
        clean = now.latent[0], now.ratio[0]
        rollouts.advance(now, guessed(*clean)[None], unprompted(*clean)[None])
        last = guided(*clean)
    sigmas = torch.cat([ratios[made.t], torch.zeros(1)])
    theirs = sample_euler(guided, noise[None] * sigmas[0], sigmas, disable=True)
    torch.testing.assert_close(last, theirs[0], rtol=1e-4, atol=1e-4)
    assert not torch.allclose(last, guessed(*clean), atol=1e-2), "control: without cfg it is another picture"


def test_one_begins_as_one_ends_and_each_has_its_own_level(words, ratios):
    rollouts, made = Rollouts(ratios), [course(seed, words) for seed in range(3)]
    sizes = []
    for number in range(2 * LEVELS):
        rollouts.begin(made[number % 3], torch.randn(4, 3, 2))
        now = rollouts.now()
        sizes.append(len(now.latent))
        assert len(set(now.t.tolist())) == len(now.t) and torch.equal(now.ratio, ratios[now.t])
        oldest = made[max(0, number + 1 - LEVELS) % 3]
        assert torch.equal(now.person[0], oldest.person) and (now.after > 0)[1:].all()
        rollouts.advance(now, torch.zeros_like(now.latent), torch.zeros_like(now.latent))
    assert sizes == [*range(1, LEVELS), *[LEVELS] * (LEVELS + 1)]


def test_batches_bring_a_course_of_figures_of_its_own_where_they_are_asked_for(host_folder):
    data = DrawnDesigns(host_folder / "comfy" / "sd1_tokenizer", batch=1)
    assert data.make(2).course is None
    data.courses = True
    batch = data.make(2)
    assert torch.equal(batch.course.words, course(COURSE_SEEDS + 2, data.words).words)
    assert not np.array_equal(batch.course.person, batch.person[0]) and COURSE_SEEDS > SEEDS
    assert batch.to("cpu").course.t.tolist() == batch.course.t.tolist()
