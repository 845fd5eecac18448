"""The designer's recipe: what is asked of its guesses; it learns, resumes, and writes what loads."""

import itertools
import json
import math
from types import SimpleNamespace

import lightning
import numpy as np
import pytest
import torch
from atelier.dev.train.designer.design_critic import DesignCritic
from atelier.dev.train.designer.design_prompts import PromptMix
from atelier.dev.train.designer.designer import (
    DesignerTraining,
    Recipe,
    garment_means,
    in_transformer,
    reading_loss,
    slope_of,
    telling_loss,
)
from atelier.dev.train.designer.designer_data import HIGH, LOWEST, NEAREST, DrawnDesigns
from atelier.dev.train.designer.designer_files import export, shipped, start_from_tryon
from atelier.models.fastfit.network import Config as FastFitConfig
from atelier.models.fastfit.network import FastFitUNet
from atelier.models.studio.designer.network import Config, DesignerUNet, PoseControlNet, patch_hint
from atelier.models.studio.designer.text_encoder import TextEncoder

PLAIN = PromptMix(empty=0, by_level=0, shuffled=0, thinned=0, phrases=0, other_words=0, unknown=0, opening=0)
TINY = Config(
    latent_channels=8, width=32, multiples=(1, 2), head_dim=16, down=(False, True), up=(True, False, False, True)
)


def test_a_batch_is_the_same_each_time_and_its_levels_cover_the_range(tokenizer):
    data = DrawnDesigns(tokenizer, batch=2)
    first, again = data.make(3), data.make(3)
    assert all(torch.equal(getattr(first, name), getattr(again, name)) for name in vars(first) if name != "course")
    from atelier.dev.train.designer.designer_data import draw_level

    levels = np.array([draw_level(np.random.default_rng(i)) for i in range(2000)])
    assert abs((levels == 999).mean() - 0.2) < 0.03 and levels.min() >= LOWEST
    assert abs((levels < HIGH).mean() - 0.22) < 0.03 and (levels < LOWEST + NEAREST).mean() > 0.1


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_processes_share_the_batches_and_a_resumed_run_draws_none_twice(tokenizer, latents, words, processes):
    drawn, positions = [], []
    for rank in range(processes):
        module, data = _module(latents, words), DrawnDesigns(tokenizer, position=7)
        data.shard, module.trainer = (rank, processes), SimpleNamespace(world_size=processes, global_rank=rank)
        data.make, module.loss = lambda number: None, lambda batch, generator: (torch.zeros(()), {})
        module.log_dict = lambda *args, **settings: None
        for batch in itertools.islice(data, 3):
            module.training_step(batch, 0)
            drawn.append(batch[0])
        positions.append(module.position)
    assert sorted(drawn) == list(range(7, 7 + 3 * processes))
    assert set(positions) == {7 + 3 * processes}


def test_reading_loss_is_the_share_of_a_garments_words():
    q, k = torch.zeros(1, 4, 2), torch.zeros(1, 8, 2)  # uniform attention over 8 words
    owner = torch.tensor([[[0, 1], [-1, 0]]], dtype=torch.int8)
    owners = torch.tensor([[-1, 0, 0, 1, -1, -1, -1, -1]])
    expected = (2 * -math.log(2 / 8) - math.log(1 / 8)) / 3
    assert reading_loss(q, k, owner, owners).item() == pytest.approx(expected, abs=1e-6)
    k[0, 1:3] = 5.0
    q[0, 0], q[0, 3] = 1.0, 1.0  # the first garment's cells now read their own words
    assert reading_loss(q, k, owner, owners) < expected
    assert reading_loss(q, k, owner, owners.flip(1)) > expected  # somebody else's words: worse
    assert reading_loss(q, k, owner, torch.full((1, 8), -1)) is None


def test_garment_means_and_what_a_readout_is_held_to():
    clean = torch.arange(8.0).view(1, 2, 2, 2)
    owner = torch.tensor([[[0, 1], [-1, 0]]], dtype=torch.int8)
    means = garment_means(clean, owner)
    assert means[0].tolist() == [[[1.5, 1.0], [0.0, 1.5]], [[5.5, 5.0], [0.0, 5.5]]]
    readout = torch.nn.Linear(2, 2)
    with torch.no_grad():
        readout.weight.copy_(torch.eye(2)), readout.bias.zero_()
    given = means.flatten(2).transpose(1, 2).clone()
    assert telling_loss(given, readout, means, owner).item() == 0
    given[0, 2] = 9.0  # a cell of no garment is not asked
    assert telling_loss(given, readout, means, owner).item() == 0
    given[0, 1] = 9.0
    assert telling_loss(given, readout, means, owner).item() > 1


def test_the_hint_block_carries_patches_exactly():
    control, picture = PoseControlNet(TINY), torch.rand(1, 3, 32, 24, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        whole = control.input_hint_block[:-1](picture)
    torch.testing.assert_close(whole, patch_hint(picture), rtol=0, atol=1e-6)
    assert not torch.allclose(whole, patch_hint(picture.flip(-1)))


def test_a_try_on_network_gives_its_convolutions():
    torch.manual_seed(1)
    tryon, unet = FastFitUNet(FastFitConfig(widths=(64, 128, 128))).state_dict(), DesignerUNet()
    assert start_from_tryon(unet, tryon) > 200
    torch.testing.assert_close(
        unet.output_blocks[5][0].in_layers[2].weight, tryon["up_blocks.2.resnets.1.conv1.weight"]
    )
    torch.testing.assert_close(unet.input_blocks[0][0].weight, tryon["conv_in.weight"][:, :32])
    torch.testing.assert_close(
        unet.middle_block[1].transformer_blocks[0].attn1.to_q.weight,
        tryon["mid_block.attentions.0.transformer_blocks.0.attn1.to_q.weight"],
    )


class Repeated(torch.utils.data.IterableDataset):
    """Two real batches again and again, numbered on."""

    def __init__(self, tokenizer, start=0):
        data = DrawnDesigns(tokenizer, batch=2, mix=PLAIN)
        self.start, self.made = start, [data.make(0), data.make(1)]

    def __iter__(self):
        number = self.start
        while True:
            yield number, self.made[number % 2]
            number += 1


def _module(latents, words, **changes):
    torch.manual_seed(3)
    return DesignerTraining(latents, words.numbers, TINY, Recipe(warm_up=2, **changes))


def _fit(module, data, steps, ckpt=None):
    trainer = lightning.Trainer(
        max_steps=steps, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False,
    )  # fmt: skip
    loader = torch.utils.data.DataLoader(data, batch_size=None)
    trainer.fit(module, loader, ckpt_path=ckpt, weights_only=True if ckpt else None)
    return trainer


@pytest.mark.filterwarnings("ignore")
def test_it_learns_and_reads_its_words(latents, words, tokenizer):
    module, data = _module(latents, words), Repeated(tokenizer)

    def figures():
        with torch.no_grad():
            return module.loss(data.made[0], torch.Generator().manual_seed(0))[1]

    before = figures()
    _fit(module, data, 30)
    after = figures()
    assert (
        after["loss"] < 0.8 * before["loss"] and after["read"] < 0.8 * before["read"] and after["told"] < before["told"]
    )


@pytest.mark.filterwarnings("ignore")
def test_a_resumed_run_equals_an_uninterrupted_one_and_its_files_load(latents, words, tokenizer, tmp_path):
    whole, cut, resumed = (_module(latents, words) for _ in range(3))
    _fit(whole, Repeated(tokenizer), 4)
    _fit(cut, Repeated(tokenizer), 2).save_checkpoint(tmp_path / "cut.ckpt")
    resumed.position = 2
    _fit(resumed, Repeated(tokenizer, start=2), 4, tmp_path / "cut.ckpt")
    assert resumed.position == whole.position == 4
    for name, value in whole.network.state_dict().items():
        assert torch.equal(resumed.network.state_dict()[name], value), name
    paths = export(whole.network.state_dict(), words.numbers, TINY, whole.network.text.config, tmp_path, "test")
    from safetensors import safe_open

    described = {}
    for path in paths:
        with safe_open(str(path), "pt") as file:
            described[path.stem] = (json.loads(file.metadata()["atelier"]), list(file.keys()))
    assert described["designer"][0]["unet_config"] == json.loads(json.dumps(TINY.host_unet()))
    assert all(key.startswith("model.diffusion_model.") for key in described["designer"][1])
    assert all(key.startswith("control_model.") for key in described["pose_controlnet"][1])
    again = shipped(tmp_path)
    for name, value in whole.network.state_dict().items():
        torch.testing.assert_close(again[name], value, rtol=2e-3, atol=2e-3)
    assert len(described["text_encoder"][1]) == len(TextEncoder(whole.network.text.config, words=1).state_dict())


def test_only_files_whose_tensors_changed_are_written_and_the_designers_as_coarsely_as_asked(latents, words, tmp_path):
    network = _module(latents, words).network
    others = words.numbers, TINY, network.text.config, tmp_path

    def written(note, bits):
        return {path.stem for path in export(network.state_dict(), *others, note, bits)}

    assert written("first", 8) == {"designer", "text_encoder", "pose_controlnet"}
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert written("again", 8) == set()
    assert written("coarser", 4) == {"designer"}
    changed = {name for name, content in before.items() if (tmp_path / name).read_bytes() != content}
    assert changed == {"designer.safetensors"}
    wanted, kept = network.unet.input_blocks[0][0].weight, shipped(tmp_path)["unet.input_blocks.0.0.weight"]
    off = ((kept - wanted) / wanted).abs().max()
    assert 2**-6 < off <= 2**-4, "four significant bits, not eight"


@pytest.mark.filterwarnings("ignore")
def test_what_is_frozen_stays_as_it_is_in_a_run_that_taught_it_before(latents, words, tokenizer, tmp_path):
    def learnt(**frozen) -> dict[str, int]:
        """Name and dimensions of the tensors that another two steps change."""
        module = _module(latents, words)
        module.position = 2
        for name, value in frozen.items():
            setattr(module, name, value)
        _fit(module, Repeated(tokenizer, start=2), 4, tmp_path / "first.ckpt")
        after = module.network.state_dict()
        return {name: after[name].ndim for name in after if not torch.equal(before[name], after[name])}

    first = _module(latents, words)
    _fit(first, Repeated(tokenizer), 2).save_checkpoint(tmp_path / "first.ckpt")
    before = first.network.state_dict()

    def matrices(names: dict[str, int]) -> set[str]:
        """Where those lie of the UNet's tensors that are no vectors."""
        inside = {name for name, ndim in names.items() if name.startswith("unet.") and ndim > 1}
        return {"transformers" if in_transformer(name) else "elsewhere" for name in inside}

    everything, pose, both = learnt(), learnt(frozen_pose=True), learnt(frozen_pose=True, only_transformers=True)
    assert {name.split(".")[0] for name in everything} == {"unet", "control"}
    assert {name.split(".")[0] for name in pose} == {name.split(".")[0] for name in both} == {"unet"}
    assert matrices(pose) == {"transformers", "elsewhere"} and matrices(both) == {"transformers"}
    assert any(ndim == 1 and not in_transformer(name) for name, ndim in both.items()), "norms and biases still learn"


def test_the_critic_pushes_as_hard_as_it_says_where_the_pose_is_known(latents, words, tokenizer):
    module, batch = _module(latents, words, critic=0.5), DrawnDesigns(tokenizer, batch=3).make(0)
    module.critic = DesignCritic(latents).requires_grad_(False)
    batch.pose, batch.seen = batch.pose.clone(), torch.ones(3)
    batch.t, batch.asked = torch.tensor([999, 999, HIGH - 1]), torch.zeros_like(batch.asked)
    batch.pose[0], batch.pose[1], batch.pose[2] = 200, 0, 0
    guess = torch.randn(3, 8, 32, 24, requires_grad=True)
    main = (guess**2).mean()
    pushed, parts = module._judged(slope_of(main, guess), guess, batch, torch.Generator().manual_seed(0))
    (push,) = torch.autograd.grad(pushed, guess)
    (slope,) = torch.autograd.grad(main, guess)
    assert push.norm() / slope.norm() == pytest.approx(0.5, rel=1e-3)
    assert push[1].abs().max() == 0 and push[0].abs().max() > 0 and push[2].abs().max() > 0
    assert 0 <= parts["shown"] <= 1
    batch.seen = torch.zeros(3)
    batch.t[2] = 999
    assert module._judged(slope, guess, batch, None)[1] == {}, "control: no pose is known anywhere"


@pytest.mark.filterwarnings("ignore")
def test_own_rollouts_go_on_with_every_step_and_push_the_network(latents, words, tokenizer):
    data = DrawnDesigns(tokenizer, batch=2, mix=PLAIN)
    data.courses = True
    batch, gradients = data.make(0), {}
    for strength in (0.0, 1.0):
        module = _module(latents, words, rollout=strength)
        module.critic = DesignCritic(latents).requires_grad_(False)
        with torch.no_grad():
            module.network.unet.out[2].weight.normal_(0, 0.1)
        parts = [module.loss(batch, torch.Generator().manual_seed(n))[1] for n in range(2)][-1]
        assert len(module.rollouts.now().t) == 2 and {"own asked", "own shown", "own colour"} <= parts.keys()
        module.loss(batch, torch.Generator().manual_seed(2))[0].backward()
        gradients[strength] = module.network.unet.out[2].weight.grad.clone()
    assert (gradients[1.0] - gradients[0.0]).norm() > 0.05 * gradients[0.0].norm()


def test_of_own_rollouts_those_nearly_finished_are_asked_to_be_crisp(latents, words, tokenizer):
    from atelier.dev.train.designer.rollouts import FINISHED
    from atelier.dev.train.sharpening import Sharpening
    from atelier.models.studio.autoencoder import make_decoder

    data = DrawnDesigns(tokenizer, batch=1, mix=PLAIN)
    data.courses = True
    module, batch = _module(latents, words, rollout=1.0), data.make(0)
    module.critic = DesignCritic(latents).requires_grad_(False)
    module.sharpening = Sharpening(make_decoder(8, (8, 8, 8, 8)).requires_grad_(False))
    reached = int((batch.course.t >= FINISHED).sum())  # levels before the first that counts
    asked = ["own fooled" in module.loss(batch, torch.Generator().manual_seed(n))[1] for n in range(reached + 2)]
    assert asked == [False] * reached + [True] * 2


def test_decay_ends_at_zero(latents, words):
    module = _module(latents, words)
    assert module.rate(1_000) == 1.0
    module.decay = (100, 50)
    assert module.rate(125) == pytest.approx(0.5) and module.rate(150) == 0.0
    module.pace = 0.3
    assert module.rate(125) == pytest.approx(0.15)


def test_going_on_from_the_weights_keeps_their_text_encoder(latents, words, monkeypatch):
    from argparse import Namespace

    from atelier.dev.train.designer import designer_run

    def never(*_):
        raise AssertionError("a text encoder was taught anew")

    monkeypatch.setattr(designer_run, "taught_text", never)
    module = DesignerTraining(latents, words.numbers)
    monkeypatch.setattr(module.network, "load_state_dict", lambda state, strict: seen.update(state))
    seen: dict = {}
    designer_run._begin(module, words, Namespace(from_weights=True, text_steps=1))
    wanted = shipped(designer_run.WEIGHTS)
    assert seen.keys() == wanted.keys() and any(name.startswith("text.") for name in seen)
    assert all(torch.equal(seen[name], wanted[name]) for name in seen)
    with pytest.raises(AssertionError, match="taught anew"):
        designer_run._begin(module, words, Namespace(from_weights=False, text_steps=1))
