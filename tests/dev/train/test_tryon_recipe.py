"""The try-on recipe: it learns, it resumes, its supervision and its network do what they say."""

import lightning
import pytest
import torch
from atelier.dev.train import muon
from atelier.dev.train.half import half
from atelier.dev.train.noise import alpha_sigma
from atelier.dev.train.tryon import pairs
from atelier.dev.train.tryon.tryon import Recipe, TryOnTraining, correspondence_loss, export
from atelier.models.fastfit.network import Config, FastFitUNet, join

TINY = Config(widths=(32, 64), attention=(True, True), head_dim=16, latent_channels=8)


class Small(torch.utils.data.IterableDataset):
    """The first batches of the drawn pairs, at a size a test can afford, endless as the real ones are."""

    def __init__(self, start=0, distinct=2):
        self.start = start
        self.made = [
            pairs.collate(
                [pairs.draw(9_000 + 2 * i + j, (("upper", "lower"), (0, 1)), 96, 128, layout=True) for j in range(2)]
            )
            for i in range(distinct)
        ]

    def __iter__(self):
        number = self.start
        while True:
            yield number, self.made[number % len(self.made)]
            number += 1


def _fit(module, data, steps, ckpt=None):
    trainer = lightning.Trainer(
        max_steps=steps, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False,
    )  # fmt: skip
    loader = torch.utils.data.DataLoader(data, batch_size=None)
    trainer.fit(module, loader, ckpt_path=ckpt, weights_only=True if ckpt else None)
    return trainer


def _module(latents, **changes):
    torch.manual_seed(3)
    return TryOnTraining(latents, TINY, Recipe(warm_up=2, **changes))


@pytest.mark.filterwarnings("ignore")
def test_the_loss_falls_on_a_few_samples(latents):
    module, data = _module(latents, empty=0.0, any_level=0.0), Small(distinct=1)

    def error():
        with torch.no_grad():
            return module.loss(data.made[0], torch.Generator().manual_seed(0))[1]["x0"].item()

    before = error()
    _fit(module, data, 40)
    assert error() < 0.6 * before


@pytest.mark.filterwarnings("ignore")
def test_a_resumed_run_equals_an_uninterrupted_one(latents, tmp_path):
    data = Small()
    whole = _module(latents, any_level=0.5)
    _fit(whole, data, 6)
    cut = _module(latents, any_level=0.5)
    _fit(cut, data, 3).save_checkpoint(tmp_path / "cut.ckpt")
    resumed = _module(latents, any_level=0.5)
    resumed.position = 3
    _fit(resumed, Small(start=3), 6, tmp_path / "cut.ckpt")
    assert resumed.position == whole.position == 6
    for name, value in whole.network.state_dict().items():
        assert torch.allclose(value, resumed.network.state_dict()[name], atol=2e-6), name
    for name, value in whole.ema.items():
        assert torch.allclose(value, resumed.ema[name], atol=2e-6), name


def test_features_are_held_to_the_layout_where_it_is_known(latents):
    from dataclasses import replace

    module, batch = _module(latents, empty=0.0, any_level=0.0), Small(distinct=1).made[0]

    def loss(of, **changes):
        module.recipe = replace(module.recipe, **changes)
        module.layout.zero_grad()
        total, parts = module.loss(of, torch.Generator().manual_seed(0))
        assert not module.layout._seen, "features are let go of"
        total.backward()
        return total.item(), parts

    with_layout, parts = loss(batch, layout=0.5)
    assert module.layout.readouts[0].weight.grad.abs().max() > 0
    without, none = loss(batch, layout=0.0)
    assert "layout" not in none and with_layout - without == pytest.approx(0.5 * parts["layout"].item(), rel=1e-4)
    unknown, none = loss(replace(batch, atr=None, ink=None), layout=0.5)
    assert "layout" not in none and unknown == pytest.approx(without, rel=1e-5)


def test_a_new_run_can_begin_with_trained_weights(latents):
    trained, module = _network(), _module(latents)
    module.start_from(trained)
    for name, value in trained.state_dict().items():
        assert torch.equal(value, module.network.state_dict()[name]) and torch.equal(value, module.ema[name])
    assert module.position * module.recipe.batch > 1_000_000, "its figures are new"


def test_batches_are_always_the_same_and_never_repeat():
    data = pairs.DrawnPairs(batch=2)
    a, b, c = data.make(5), data.make(5), data.make(6)
    assert torch.equal(a.person, b.person) and not torch.equal(a.person, c.person)


def test_some_batches_have_the_masks_that_are_found_in_the_picture():
    from atelier.dev.train.run import WEIGHTS

    drawn, found = pairs.DrawnPairs(batch=2), pairs.DrawnPairs(batch=2, detected=1.0, weights=WEIGHTS)
    for number in (0, 2):
        as_drawn, as_found = drawn.make(number), found.make(number)
        assert torch.equal(as_drawn.person, as_found.person) and torch.equal(as_drawn.owner, as_found.owner)
        masks = [batch.mask.float() for batch in (as_drawn, as_found)]
        assert as_found.mask.dtype == torch.uint8 and set(as_found.mask.unique().tolist()) == {0, 1}
        overlap = (masks[0] * masks[1]).sum() / torch.maximum(*masks).sum()
        assert 0.5 < overlap < 0.99, "of the same figure, but not the drawn one"
        assert torch.equal(found.make(number).mask, as_found.mask)
    some = pairs.DrawnPairs(batch=1, detected=0.5, weights=WEIGHTS)
    same = [torch.equal(some.make(n).mask, pairs.DrawnPairs(batch=1).make(n).mask) for n in range(12)]
    assert {True, False} == set(same)
    with pytest.raises(ValueError, match="cannot be read"):
        pairs.DrawnPairs(batch=1, detected=1.0, weights=WEIGHTS / "nowhere").make(0)


def test_training_never_draws_a_held_out_figure():
    from atelier.dev.bench.bench_tryon_quality import HELD_OUT
    from atelier.dev.train import autoencoder, run

    assert min(pairs.TRAIN_SEEDS, autoencoder.SEED, run.LATENT_SEEDS) >= HELD_OUT


def _network():
    torch.manual_seed(0)
    network = FastFitUNet(TINY)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.15)
    return network


def test_garments_are_read_through_their_kv_alone():
    network, x, t = _network(), torch.randn(2, 17, 8, 6), torch.tensor([999, 40])
    garments, labels = torch.randn(2, 2, 8, 8, 6), torch.tensor([[0, 1], [0, 1]])
    with torch.no_grad():
        first, second = (network.reference(garments[:, i], labels[:, i]) for i in range(2))
        out = network(x, t, join([first, second]))
        assert torch.allclose(out, network(x, t, join([second, first])), atol=1e-5), "order does not matter"
        one_by_one = torch.cat([network(x[i : i + 1], t[i : i + 1], join([
            [(k[i : i + 1], v[i : i + 1]) for k, v in part] for part in (first, second)
        ])) for i in range(2)])  # fmt: skip
        assert torch.allclose(out, one_by_one, atol=1e-5), "rows do not see one another"
        assert (out - network(x, t)).abs().max() > 1e-3, "control: an emptied cache gives something else"
        zero = network.reference(torch.zeros(2, 8, 8, 6), labels[:, 0])
        assert (network(x, t, zero) - network(x, t)).abs().max() > 1e-3, "zero latents are no empty cache"


def test_a_row_can_ignore_a_garment():
    network, x, t = _network(), torch.randn(2, 17, 8, 6), torch.tensor([999, 999])
    labels = torch.tensor([0, 0])
    with torch.no_grad():
        a, b = (
            network.reference(torch.randn(2, 8, 8, 6), labels),
            network.reference(torch.randn(2, 8, 8, 6), labels + 1),
        )
        both = network(x, t, join([a, b]), keep=torch.tensor([[1, 1], [1, 0]]))
        assert torch.allclose(both[0], network(x, t, join([a, b]))[0], atol=1e-5)
        assert torch.allclose(both[1], network(x, t, a)[1], atol=1e-5)
        assert not torch.allclose(both[1], network(x, t, join([a, b]))[1], atol=1e-4)


def test_supervision_rewards_the_true_cell_and_no_other():
    batch = pairs.collate([pairs.draw(1234, (("upper", "lower"), (0, 1)))])
    height, width = batch.owner.shape[1:]
    length = height * width
    inside = (batch.owner >= 0).flatten(1)
    cell = (batch.coords / 8 - 0.5).round().long()
    key = (
        batch.owner.clamp(min=0).long() * length
        + cell[..., 1].clamp(0, height - 1) * width
        + cell[..., 0].clamp(0, width - 1)
    )
    keys = torch.randn(1, 3 * length, 64)
    right = 4 * keys[0, key.flatten()][None]
    loss, hit = correspondence_loss((right, keys), batch, inside)
    assert hit > 0.97
    moved = 4 * keys[0, (key.flatten() + 7 * width) % (2 * length)][None]
    wrong_loss, wrong_hit = correspondence_loss((moved, keys), batch, inside)
    assert wrong_hit < 0.2 and wrong_loss > loss + 1


def test_supervision_takes_the_heaviest_cells_first():
    batch = pairs.collate([pairs.draw(1234, (("upper", "lower"), (0, 1)))])
    length = batch.owner.numel()
    inside, keys = (batch.owner >= 0).flatten(1), torch.zeros(1, 3 * length, 8)
    heavy = inside.nonzero()[:: max(1, int(inside.sum()) // 12), 1][:10]
    weights = torch.ones(1, length)
    weights[0, heavy] = 50.0
    queries = torch.zeros(1, length, 8, requires_grad=True)
    for seed in range(3):
        keys[0, :, 0] = torch.randn(3 * length, generator=torch.Generator().manual_seed(seed))
        loss, _ = correspondence_loss(
            (queries, keys), batch, inside, torch.Generator().manual_seed(seed), weights=weights
        )
        (slope,) = torch.autograd.grad(loss, queries)
        shares = slope[0].norm(dim=1)
        assert (shares[heavy] > 0).all() and shares[heavy].sum() > 0.5 * shares.sum()
        assert (shares[~inside[0]] == 0).all()


def test_muon_orthogonalises():
    torch.manual_seed(0)
    matrix = torch.randn(48, 80)
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    made = muon.orthogonalise(matrix)
    values = torch.linalg.svdvals(made.float())
    assert values.min() > 0.5 and values.max() < 1.35
    agreement = (made * (u @ v)).sum() / (made.norm() * (u @ v).norm())
    assert agreement > 0.95
    assert torch.allclose(muon.orthogonalise(matrix.T), made.T, atol=2e-2)


def test_muon_adamw_follows_adam_for_the_others():
    torch.manual_seed(1)
    ours = torch.nn.Parameter(torch.randn(7))
    theirs = torch.nn.Parameter(ours.detach().clone())
    a, b = muon.MuonAdamW([], [ours], adam_lr=1e-2), torch.optim.Adam([theirs], lr=1e-2, betas=(0.9, 0.99))
    for step in range(5):
        for parameter, optimizer in ((ours, a), (theirs, b)):
            optimizer.zero_grad()
            (parameter**2 * (step + 1)).sum().backward()
            optimizer.step()
    assert torch.allclose(ours, theirs, atol=1e-6)


def test_written_weights_keep_what_training_used():
    x = torch.cat([torch.randn(2000), torch.randn(200) * 1e-4, torch.tensor([0.0, 1.0, -300.0])])
    kept = half(x)
    assert kept.dtype == torch.float16
    normal = x.abs() > 1e-4
    assert torch.equal(kept[normal].to(torch.bfloat16), x[normal].to(torch.bfloat16))
    assert (kept[~normal].float() - x[~normal]).abs().max() < 1e-6


@pytest.mark.parametrize("bits", [4, 5, 8])
def test_weights_are_rounded_to_so_many_bits(bits):
    x = torch.randn(4000)
    off = ((half(x, bits).float() - x) / x).abs()
    assert off.max() <= 2.0**-bits and off.max() > 0.9 * 2.0**-bits
    assert len(torch.frexp(half(x, bits).float())[0].abs().unique()) == 2 ** (bits - 1)


def test_noise_levels_are_the_hosts(host):
    import comfy.model_base
    import comfy.model_sampling

    class Config:
        sampling_settings = {"zsnr": True}

    class Sampling(comfy.model_sampling.ModelSamplingDiscrete, comfy.model_sampling.V_PREDICTION):
        pass

    alpha, sigma = alpha_sigma()
    theirs = Sampling(Config(), zsnr=True).sigmas.double()
    ours = sigma / alpha
    assert torch.allclose(ours, theirs, rtol=2e-3)
    assert torch.allclose(ours[:990], theirs[:990], rtol=1e-4)


def test_exported_file_is_small_and_described(tmp_path):
    import json

    from safetensors import safe_open

    network = FastFitUNet()
    export(network.state_dict(), network.config, tmp_path / "x.safetensors")
    assert (tmp_path / "x.safetensors").stat().st_size < 18 * 2**20
    with safe_open(str(tmp_path / "x.safetensors"), "pt") as file:
        described = json.loads(file.metadata()["atelier"])
        assert {file.get_tensor(name).dtype for name in file.keys()} == {torch.float16}  # noqa: SIM118
    assert described["prediction"] == "v" and described["zsnr"] and described["latent_channels"] == 32


@pytest.fixture
def sharpening():
    from atelier.dev.train.sharpening import Sharpening, SharpeningRecipe
    from atelier.models.studio.autoencoder import make_decoder

    def make(**changes):
        torch.manual_seed(4)
        return Sharpening(make_decoder(8, (8, 8, 8, 8)).requires_grad_(False), SharpeningRecipe(warm_up=0, **changes))

    return make


def test_sharpening_pushes_the_touched_cells_alone_and_as_hard_as_it_says(sharpening):
    generator = torch.Generator().manual_seed(1)
    made = torch.randn(2, 8, 16, 16, generator=generator).requires_grad_()
    clean, error = (torch.randn(2, 8, 16, 16, generator=generator) for _ in range(2))
    mask = torch.zeros(2, 1, 128, 128)
    mask[:, :, :40] = 1
    loss, measured = sharpening(strength=0.5)(made, clean, mask, error, generator)
    (push,) = torch.autograd.grad(loss, made)
    assert push[:, :, 5:].abs().max() == 0 and push[:, :, :5].abs().min() > 0
    assert torch.isclose(push.norm(), 0.5 * error[:, :, :5].norm(), rtol=1e-4)
    assert set(measured) == {"picture", "matching", "fooled", "judged"}
    loss, _ = sharpening(strength=0.5)(made, clean, mask * 0, error, generator)
    assert torch.autograd.grad(loss, made)[0].abs().max() == 0, "control: nothing touched, nothing pushed"


def test_of_pictures_that_led_themselves_there_only_the_discriminator_is_asked(sharpening):
    generator = torch.Generator().manual_seed(3)
    made = torch.randn(1, 8, 16, 16, generator=generator).requires_grad_()
    clean, error = (torch.randn(1, 8, 16, 16, generator=generator) for _ in range(2))
    for shares, own, moved in (((1, 1, 0), True, False), ((1, 1, 0), False, True), ((1, 1, 1), True, True)):
        loss, _ = sharpening(shares=shares)(made, clean, torch.ones(1, 1, 128, 128), error, generator, own=own)
        assert (torch.autograd.grad(loss, made)[0].abs().max() > 0) == moved, (shares, own)


def test_the_picture_push_leads_to_the_true_picture(sharpening):
    generator = torch.Generator().manual_seed(2)
    clean = torch.randn(2, 8, 16, 16, generator=generator)
    made = clean + torch.randn(clean.shape, generator=generator)
    mask, unit = torch.ones(2, 1, 128, 128), torch.ones(2, 8, 16, 16)
    sharp, losses = sharpening(strength=0.02, shares=(1.0, 0.0, 0.0)), []
    for _ in range(20):
        made = made.detach().requires_grad_()
        loss, measured = sharp(made, clean, mask, unit, generator)
        made = made - torch.autograd.grad(loss, made)[0]
        losses.append(measured["picture"].item())
    assert losses[-1] < 0.9 * losses[0]


def test_the_discriminator_learns_to_tell_soft_pictures_from_sharp_ones():
    from atelier.dev.train.sharpening import PatchDiscriminator, discriminator_loss, sharpening_gradient

    true = torch.from_numpy(pairs.draw(9_000, (("upper", "lower"), (0, 1)))["person"])[None, :, 64:192, 32:160] / 255
    soft = torch.nn.functional.avg_pool2d(true, 9, 1, 4)
    torch.manual_seed(0)
    judge, everywhere = PatchDiscriminator(), torch.ones(1, 1, 16, 16)
    optimizer, losses = torch.optim.Adam(judge.parameters(), 1e-3, betas=(0.5, 0.99)), []
    for _ in range(40):
        loss = discriminator_loss(judge, soft, true, everywhere)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    before = judge(soft)[-1].mean()
    push, _ = sharpening_gradient(judge, soft, true, everywhere, (0.0, 0.0, 1.0))
    assert judge(soft - push)[-1].mean() > before, "the adversarial push makes it look true"
    assert judge(soft + push)[-1].mean() < before, "control: the other way"


@pytest.mark.filterwarnings("ignore")
def test_a_sharpened_run_resumes_with_its_judge(latents, sharpening, tmp_path):
    def start():
        module = _module(latents, any_level=0.0)
        module.sharpening = sharpening()
        return module

    data, whole, cut, resumed = Small(), start(), start(), start()
    _fit(whole, data, 4)
    _fit(cut, data, 2).save_checkpoint(tmp_path / "cut.ckpt")
    resumed.position = 2
    _fit(resumed, Small(start=2), 4, tmp_path / "cut.ckpt")
    assert resumed.sharpening.steps == whole.sharpening.steps == 4
    for name, value in whole.sharpening.discriminator.state_dict().items():
        assert torch.allclose(value, resumed.sharpening.discriminator.state_dict()[name], atol=1e-5), name
    for name, value in whole.network.state_dict().items():
        assert torch.allclose(value, resumed.network.state_dict()[name], atol=2e-5), name


def test_cells_of_small_garments_weigh_more():
    from atelier.dev.train.tryon.tryon import small_garments

    owner = torch.full((2, 3, 4), -1, dtype=torch.int8)
    owner[0, :2], owner[0, 2, :2], owner[0, 2, 3] = 0, 1, 2  # eight cells, two, one; one cell of none
    assert small_garments(owner, 5.0)[0].tolist() == [[1] * 4, [1] * 4, [4, 4, 1, 5]]
    assert (small_garments(owner, 5.0)[1] == 1).all() and (small_garments(owner, 1.0) == 1).all()
