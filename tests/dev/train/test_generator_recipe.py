"""The ideation generator's recipe: losses do what they say, it learns, resumes, follows a text encoder, and loads."""

import json

import lightning
import numpy as np
import pytest
import torch
from atelier.dev.train.generator import generator_run
from atelier.dev.train.generator.generator import (
    DraftDiscriminator,
    GeneratorTraining,
    Recipe,
    export,
    fit_to_text,
    propose,
    tame_levels,
)
from atelier.dev.train.generator.generator_data import SEEDS, DraftBatches, Drafts, figure_of, pool_of_latents
from atelier.dev.train.latents import Latents
from atelier.models.equifashion.generator import LatentGenerator
from atelier.models.studio.designer.text_encoder import TextConfig, TextEncoder

C, H, W = 4, 16, 8


def _latents(channels=C):
    basis = torch.linalg.qr(torch.randn(192, channels, generator=torch.Generator().manual_seed(0)))[0]
    return Latents(basis.T.contiguous(), basis.contiguous(), torch.full((192,), 0.5))


def _generator(seed=0, features=4, context=8):
    torch.manual_seed(seed)
    generator = LatentGenerator(C, features, context)
    tame_levels(generator)
    return generator


def _module(steps=30, **changes):
    torch.manual_seed(3)
    text = TextEncoder(TextConfig(8, 1, 2), 50)
    return GeneratorTraining(
        text, torch.full((C,), 4.0), steps, Recipe(batch=8, begin=2, warm_up=2, **changes), features=4
    )


def _drafts(seed=0, rows=8):
    random = torch.Generator().manual_seed(seed)
    clean = 1 + 0.3 * torch.randn((rows, C, 1, 1), generator=random).expand(-1, -1, H, W)
    t = torch.tensor([999, 800, 501, 300] * 2)[:rows]
    return Drafts(clean.contiguous(), torch.randint(0, 50, (rows, 77), generator=random), t)


def _inputs(rows=3, seed=1):
    random = torch.Generator().manual_seed(seed)
    z, u = torch.randn((2, rows, C, H, W), generator=random)
    return z, u, torch.randn((rows, 8), generator=random), torch.tensor([0, 400, 999])[:rows]


def test_the_cheap_form_is_the_generator():
    generator = _generator().eval()
    assert (propose(generator, *_inputs()) - generator(*_inputs())).abs().max() < 1e-6
    z, u, context, t = _inputs()
    assert (propose(generator, z, u, 9 * context.flip(0), t) - generator(z, u, context, t)).abs().max() > 1e-4


def test_only_the_nearest_proposal_is_pulled():
    module, batch = _module(mode_seeking=0.0), _drafts(rows=2)
    far, near = batch.clean + 3, batch.clean + 0.5
    made = torch.stack([torch.stack([far[0], near[1]]), torch.stack([near[0], far[1]])]).requires_grad_()
    z, context = module.noisy(batch, torch.Generator().manual_seed(0))
    loss, parts = module.generator_loss(batch, z, context, made, torch.randn(2, 2, C, H, W), adversarial=False)
    assert parts["nearest"].item() == pytest.approx(0.5 + 0.125, abs=1e-5)
    loss.backward()
    pulled = made.grad.abs().sum((2, 3, 4)) > 0
    assert pulled.tolist() == [[False, True], [True, False]]


def test_only_proposals_at_high_levels_are_driven_apart():
    module, batch = _module(nearest=0.0, mode_seeking=1.0), _drafts(rows=4)
    made = (0.1 * torch.randn(2, 4, C, H, W)).requires_grad_()
    z, context = module.noisy(batch, torch.Generator().manual_seed(0))
    loss, _ = module.generator_loss(batch, z, context, made, torch.randn(2, 4, C, H, W), adversarial=False)
    loss.backward()
    assert (made.grad.abs().sum((0, 2, 3, 4)) > 0).tolist() == [True, True, True, False]
    with torch.no_grad():
        moved = made - made.grad
    assert ((moved[0] - moved[1]).abs().sum((1, 2, 3)) >= (made[0] - made[1]).abs().sum((1, 2, 3)))[:3].all()


def test_the_discriminator_reads_words_and_the_noisy_latent():
    torch.manual_seed(0)
    judge, (z, u, context, t) = DraftDiscriminator(C, 8, 16), _inputs()
    places, whole = judge(z, u, context, t)
    assert places.shape == (3, (H // 4) * (W // 4)) and whole.shape == (3, 1)
    other_words, other_noisy = judge(z, u, context.flip(0), t), judge(z, u.flip(0), context, t)
    assert torch.equal(places, other_words[0]) and not torch.allclose(whole, other_words[1])
    assert not torch.allclose(places, other_noisy[0])


def test_another_text_encoder_is_learnt_in_one_fit():
    generator, told = _generator().eval(), torch.randn(300, 8, generator=torch.Generator().manual_seed(2))
    turned = told @ torch.randn(8, 8, generator=torch.Generator().manual_seed(4)) + 1.0
    z, u, _, t = _inputs()
    with torch.no_grad():
        expected = generator(z, u, told[:3], t)
        unfitted = (generator(z, u, turned[:3], t) - expected).abs().max()
        explained = fit_to_text(generator.context_projection, told, turned, ridge=1e-9)
        fitted = (generator(z, u, turned[:3], t) - expected).abs().max()
    assert explained > 0.999 and fitted < 1e-4 < unfitted
    assert fit_to_text(_generator().context_projection, told, torch.randn(300, 8)) < 0.2  # nothing to learn from noise


class Repeated(torch.utils.data.IterableDataset):
    def __init__(self, start=0):
        self.start = start

    def __iter__(self):
        number = self.start
        while True:
            yield number, _drafts(number % 2)
            number += 1


def _fit(module, steps, start=0, ckpt=None):
    trainer = lightning.Trainer(
        max_steps=2 * steps, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False,
    )  # fmt: skip
    loader = torch.utils.data.DataLoader(Repeated(start), batch_size=None)
    trainer.fit(module, loader, ckpt_path=ckpt, weights_only=True if ckpt else None)
    return trainer


@pytest.mark.filterwarnings("ignore")
def test_it_learns_and_stays_varied():
    def nearest(module):
        batch, random = _drafts(0), torch.Generator().manual_seed(0)
        with torch.no_grad():
            z, context = module.noisy(batch, random)
            made, noises = module.proposals(z, context, batch.t, random)
            return module.generator_loss(batch, z, context, made, noises, False)[1]

    module, alike = _module(30, adam_lr=0.02), _module(30, adam_lr=0.02, mode_seeking=0.0)
    before = nearest(module)
    _fit(module, 30)
    _fit(alike, 30)
    assert nearest(module)["nearest"] < 0.7 * before["nearest"]
    assert nearest(module)["varied"] < nearest(alike)["varied"] < 0  # the negative distance of two proposals


@pytest.mark.filterwarnings("ignore")
def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path):
    whole, cut, resumed = (_module(4) for _ in range(3))
    _fit(whole, 4)
    _fit(cut, 2).save_checkpoint(tmp_path / "cut.ckpt")
    _fit(resumed, 4, 2, tmp_path / "cut.ckpt")
    assert resumed.position == whole.position == 4
    for name, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name


def test_the_file_says_what_its_tensors_do_not(host, tmp_path):
    from atelier.host.design.ideation_source import load_source

    generator = _generator().eval()
    export(generator, torch.tensor([1.0, 2.0, 3.0, 4.0]), tmp_path / "g.safetensors", "a note")
    source = load_source(str(tmp_path / "g.safetensors"))
    assert source.scale == (1.0, 2.0, 3.0, 4.0) and source.proposes == "clean latent"
    with torch.no_grad():
        difference = (source.patcher.model(*_inputs()) - generator(*_inputs())).abs().max()
    assert 0 < difference < 5e-3  # half precision, and not more


def test_a_pool_that_was_cut_off_is_drawn_to_its_end(tmp_path):
    latents = _latents()
    whole = np.array(pool_of_latents(4, latents, tmp_path / "a"))
    part = np.zeros_like(whole)
    part[:2] = 7.0
    (tmp_path / "b").mkdir()
    np.save(tmp_path / "b/pool-4-part.npy", part)
    made = np.array(pool_of_latents(4, latents, tmp_path / "b"))
    assert (made[:2] == 7).all() and np.array_equal(made[2:], whole[2:]) and whole[1].std() > 0
    assert not (tmp_path / "b/pool-4-part.npy").exists()
    assert figure_of(SEEDS) == figure_of(SEEDS) != figure_of(SEEDS + 1)


def test_batches_are_the_same_each_time(words):
    pool = np.random.default_rng(0).standard_normal((12, C, H, W)).astype(np.float16)
    data = DraftBatches(pool, words, 4)
    first, again, next_one = data.make(5), data.make(5), data.make(6)
    assert all(torch.equal(getattr(first, name), getattr(again, name)) for name in vars(first))
    assert not torch.equal(first.clean, next_one.clean)
    levels = torch.cat([data.make(n).t for n in range(100)])
    assert abs((levels == 999).float().mean() - 0.35) < 0.08 and 0.02 < (levels < 300).float().mean() < 0.2
    assert len({tuple(row.tolist()) for n in range(3) for row in data.make(n).words}) > 8


def test_the_designers_text_encoder_is_taken_from_its_file(words, tmp_path, monkeypatch):
    from safetensors.torch import save_file

    monkeypatch.setattr(generator_run, "WEIGHTS", tmp_path)
    with pytest.raises(ValueError, match="train the designer first"):
        generator_run.text_encoder(words)
    torch.manual_seed(0)
    small = TextEncoder(TextConfig(8, 1, 2), 1 + len(words.numbers)).eval()
    metadata = {"atelier": json.dumps({"config": TextConfig(8, 1, 2).clip(), "words": words.numbers})}
    save_file(small.state_dict(), tmp_path / "text_encoder.safetensors", metadata)
    told = generator_run.captions(3, words, 0)
    with torch.no_grad():
        assert torch.equal(generator_run.text_encoder(words)(told), small(told))
    metadata = {"atelier": json.dumps({"words": words.numbers[:-1]})}
    save_file(small.state_dict(), tmp_path / "text_encoder.safetensors", metadata)
    with pytest.raises(ValueError, match="other words"):
        generator_run.text_encoder(words)


@torch.no_grad()
def test_a_run_adopts_a_text_encoder_that_has_changed(words):
    def module(seed):
        torch.manual_seed(seed)
        text = TextEncoder(TextConfig(8, 1, 2), 1 + len(words.numbers))
        return GeneratorTraining(text, torch.full((C,), 4.0), 4, features=4)

    old, new, same = module(0), module(1), module(0)
    saved = {"state_dict": {key: value.clone() for key, value in old.state_dict().items()}}
    assert generator_run.adopt_text(saved, same, words, fit_to_text) is None
    explained = generator_run.adopt_text(saved, new, words, fit_to_text)
    assert 0.1 < explained <= 1
    told = generator_run.captions(40, words, SEEDS)
    before, after = old.text(told).mean(1), new.text(told).mean(1)
    wanted = old.generator.context_projection(before)
    fitted = (new.generator.context_projection(after) - wanted).pow(2).mean()
    unfitted = (old.generator.context_projection(after) - wanted).pow(2).mean()
    assert fitted < 0.5 * unfitted
    assert torch.equal(
        saved["state_dict"]["text.text_model.final_layer_norm.weight"], new.text.text_model.final_layer_norm.weight
    )


def test_a_refit_without_the_run_is_refused_in_a_sentence(tmp_path, monkeypatch, capsys):
    from atelier.dev.train.generator import generator_run

    monkeypatch.setattr(generator_run, "FOLDER", tmp_path)
    with pytest.raises(SystemExit):
        generator_run.train_generator(["--refit"])
    assert "--refit needs the run that the generator came from" in capsys.readouterr().err
