"""EquiFashion's networks, fusion, losses and attention maths against closed forms, hand values and gradient checks."""

import math

import pytest
import torch
import torch.nn.functional as F
from atelier.models.equifashion import bundled_attention, fusion, generator, losses, published_keys, text_image


def seeded(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# --- networks ---


def test_generator_layer_by_layer():
    """Oracle: the same computation from the state dict with functional calls, in the published layer order."""
    torch.manual_seed(0)
    net = generator.LatentGenerator(4, 8, 12).eval()
    for norm in (m for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d)):
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
    w = net.state_dict()
    z, u, text, t = torch.randn(2, 4, 16, 8), torch.randn(2, 4, 16, 8), torch.randn(2, 5, 12), torch.tensor([3, 900])
    time = F.linear(
        F.silu(F.linear(t[:, None].float(), w["time_embed.0.weight"], w["time_embed.0.bias"])),
        w["time_embed.2.weight"],
        w["time_embed.2.bias"],
    )
    words = F.linear(text.mean(1), w["context_projection.weight"], w["context_projection.bias"])
    h = torch.cat([z, u, *(v[:, :, None, None].repeat(1, 1, 16, 8) for v in (time, words))], 1)
    h = F.leaky_relu(F.conv2d(h, w["net.0.weight"], w["net.0.bias"], 2, 1), 0.2)

    def normed(h, i):
        return F.batch_norm(h, *(w[f"net.{i}.1.{n}"] for n in ("running_mean", "running_var", "weight", "bias")))

    for i in (2, 3):
        h = F.leaky_relu(normed(F.conv2d(h, w[f"net.{i}.0.weight"], None, 2, 1), i), 0.2)
    for i in (4, 5):
        h = F.relu(normed(F.conv_transpose2d(h, w[f"net.{i}.0.weight"], None, 2, 1), i))
    h = torch.tanh(F.conv_transpose2d(h, w["net.6.weight"], w["net.6.bias"], 2, 1))
    assert (net(z, u, text, t) - h).abs().max() < 1e-6
    assert torch.allclose(net(z, u, text.mean(1), t), net(z, u, text, t), atol=1e-6)


def test_generator_refuses_sides_that_would_not_come_back():
    net = generator.LatentGenerator(4, 8, 12)
    with pytest.raises(ValueError, match="12 x 16"):
        net(torch.zeros(1, 4, 16, 12), torch.zeros(1, 4, 16, 12), torch.zeros(1, 12), torch.zeros(1))


def test_discriminator_sizes():
    net = generator.LatentDiscriminator(4, 4, 12).eval()
    score = lambda h, w: net(torch.zeros(1, 4, h, w), torch.zeros(1, 3, 12), torch.zeros(1)).shape[-2:]  # noqa: E731
    assert score(64, 64) == (1, 1) and score(88, 64) == (2, 1)


def test_published_names_and_sizes():
    tensors = published_keys.extra_tensors()
    prefixes = {
        "latent_generator.": (34, 2178376),
        "latent_discriminator.": (28, 3621444),
        "semantic_encoder.": (9, 167360),
        "garment_segmentor.": (2, 16),
    }
    for prefix, (count, elements) in prefixes.items():
        own = [t for name, t in tensors.items() if name.startswith(prefix)]
        assert (len(own), sum(t.numel() for t in own)) == (count, elements)
    assert len(tensors) == 102 - 0 and tuple(tensors["latent_generator.net.0.weight"].shape) == (64, 520, 4, 4)


def test_text_is_read_as_bytes():
    encoder = text_image.SemanticEncoder(16)
    one, empty, none, word = encoder.encode_text(["é", "", None, "\x00"])
    by_hand = encoder.txt_proj(encoder.txt_emb.weight[list("é".encode())].mean(0))
    assert torch.allclose(one, by_hand) and torch.equal(empty, none) and torch.allclose(empty, word)
    masks = text_image.GarmentSegmentor()(torch.rand(2, 3, 8, 8))
    assert masks.shape == (2, 4, 8, 8) and torch.allclose(masks.sum(1), torch.ones(2, 8, 8))


# --- fusion ---


def test_fusion_weights_of_eight_steps():
    levels = fusion.levels_of_steps(8)
    assert levels == [876, 751, 626, 501, 376, 251, 126, 1]
    published = [0.911, 0.818, 0.720, 0.616, 0.504, 0.380, 0.235, 0.0079]
    assert [fusion.fusion_weight(t) for t in levels] == pytest.approx(published, abs=6e-4)


@pytest.mark.parametrize("steps", [3, 9, 27, 36, 37, 101, 111, 251])
def test_step_counts_outside_the_schedule_are_refused(steps):
    with pytest.raises(ValueError, match="outside the schedule"):
        fusion.levels_of_steps(steps)


def test_ddim_keeps_x0_and_eps():
    x0, eps = seeded(2, 4, 8, 8), seeded(2, 4, 8, 8, seed=1)
    z = 0.3**0.5 * x0 + 0.7**0.5 * eps
    assert torch.allclose(fusion.ddim_step(z, eps, 0.3, 0.8), 0.8**0.5 * x0 + 0.2**0.5 * eps)


def test_posterior_mean_by_bayes():
    """Mean of a Gaussian posterior: precision-weighted, from q(z_t | z_{t-1}) and q(z_{t-1} | x0)."""
    z, x0, abar, before = seeded(5), seeded(5, seed=1), 0.5, 0.6
    step = abar / before
    prior, likelihood = 1 / (1 - before), step / (1 - step)
    by_hand = (prior * before**0.5 * x0 + likelihood * z / step**0.5) / (prior + likelihood)
    assert torch.allclose(fusion.posterior_mean(z, x0, abar, before), by_hand)


def test_repulsion():
    x = seeded(4, 4, 8, 8) * 0.1 + seeded(1, 4, 8, 8, seed=1)
    assert fusion.repelled(x, 0) is x and fusion.repelled(x[:1], 1.0) is not None
    pushed = fusion.repelled(x, 0.5)
    assert torch.pdist(pushed.flatten(1)).min() > torch.pdist(x.flatten(1)).min()
    assert torch.allclose(pushed.mean((2, 3)), x.mean((2, 3)), atol=1e-6)
    assert torch.allclose(pushed.std((2, 3)), x.std((2, 3)), rtol=1e-4)
    order = [2, 0, 3, 1]
    assert torch.allclose(fusion.repelled(x[order], 0.5), pushed[order], atol=1e-5), (
        "the order of the batch must not matter"
    )
    assert torch.isfinite(fusion.repelled(x[:1].repeat(3, 1, 1, 1), 0.5)).all()


# --- attention ---


def test_divergence_hand_values():
    p, q = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    assert float(bundled_attention.jensen_shannon(p, q)) == pytest.approx(math.log(2), abs=1e-6)
    assert float(bundled_attention.jensen_shannon(p, p)) == pytest.approx(0, abs=1e-9)
    half = torch.tensor([[0.5, 0.5]])
    by_hand = 0.5 * (math.log(1 / 0.75)) + 0.5 * (0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25))
    assert float(bundled_attention.jensen_shannon(p, half)) == pytest.approx(by_hand, abs=1e-6)


def test_bundling_keeps_rows_and_meets_at_full_strength():
    p = seeded(2, 3, 10, 8).softmax(-1)
    assert torch.equal(bundled_attention.bundle(p, [[1, 4]], 0.0), p)
    mixed = bundled_attention.bundle(p, [[1, 4], [2, 5, 6]], 1.0)
    assert torch.allclose(mixed.sum(-1), p.sum(-1))
    assert torch.allclose(mixed[..., 1], mixed[..., 4]) and torch.allclose(mixed[..., 2], mixed[..., 6])
    assert torch.equal(mixed[..., [0, 3, 7]], p[..., [0, 3, 7]])
    maps = [bundled_attention.token_maps(mixed, [i]) for i in (1, 4)]
    assert bundled_attention.jensen_shannon(*maps).max() < 1e-9


def test_the_change_is_the_difference_of_two_attentions():
    q, k, v = (seeded(2, n, 12, seed=s).float() for n, s in ((10, 1), (8, 2), (8, 3)))
    p = bundled_attention.attention_probabilities(q, k, 3)
    values = v.reshape(2, 8, 3, 4).transpose(1, 2)
    join = lambda x: (x @ values).transpose(1, 2).reshape(2, 10, 12)  # noqa: E731
    groups = [[1, 4], [4, 6, 7]]
    change = bundled_attention.bundle_change(q, k, v, 3, groups, 0.7)
    assert torch.allclose(change, join(bundled_attention.bundle(p, groups, 0.7)) - join(p), atol=1e-6)


# --- losses ---


def test_losses_hand_values():
    real, fake = torch.tensor([2.0, 0.5]), torch.tensor([-2.0, 0.5])
    assert float(losses.discriminator(real, fake)) == pytest.approx((0 + 0.5) / 2 + (0 + 1.5) / 2)
    assert float(losses.generator(fake)) == pytest.approx(0.75)
    made, u = torch.tensor([[0.0, 0.0], [1.0, 1.0]]), torch.tensor([[1.0, 1.0], [2.0, 2.0]])
    # distances 2 and 0 over noise distances 2 and 4
    assert float(losses.mode_seeking(made, torch.ones(2, 2), u, torch.zeros(2, 2))) == pytest.approx(
        -(1 + 0) / 2, abs=1e-6
    )
    assert float(losses.denoising(torch.tensor([[1.0, 3.0]]), torch.zeros(1, 2))) == pytest.approx(5.0)
    assert float(losses.denoising(torch.tensor([[1.0, 3.0]]), torch.zeros(1, 2), 1.0)) == pytest.approx(5 / math.e + 1)
    assert float(losses.robustness(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 4.0]))) == pytest.approx(2.0)
    x, y = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.6, 0.8]])
    assert float(losses.semantic(x, y)) == pytest.approx(0.4) and float(losses.compatibility(x, y)) == pytest.approx(
        -0.6
    )
    parts = torch.tensor([[[1.0, 0.0], [0.6, 0.8]]])
    assert float(losses.consensus(parts, x, y)) == pytest.approx(-0.5 * 1.0 - 0.5 * 0.6)
    ends = torch.eye(2)[None].unbind(1)
    assert float(losses.bundle([ends, ends])) == pytest.approx(2 * math.log(2), abs=1e-6)
    distance = lambda a, b: (a - b).abs().mean()  # noqa: E731
    assert float(losses.perceptual(torch.ones(1, 3, 2, 2), -torch.ones(1, 3, 2, 2), distance)) == pytest.approx(1.0)
    zeros = torch.zeros(1, 4)
    assert float(losses.autoencoder(torch.ones(1, 3), torch.zeros(1, 3), zeros, zeros)) == pytest.approx(1.0)
    # KL of N(1, 1) to N(0, 1) is 1/2 a number
    assert float(losses.autoencoder(zeros, zeros, zeros + 1, zeros, kl_weight=1.0)) == pytest.approx(2.0)


def unit(x):
    return F.normalize(x, dim=-1)


GRADIENTS = {
    "discriminator": (losses.discriminator, lambda: (seeded(6), seeded(6, seed=1))),
    "generator": (losses.generator, lambda: (seeded(6),)),
    "mode_seeking": (losses.mode_seeking, lambda: tuple(seeded(2, 5, seed=s) for s in range(4))),
    "denoising": (losses.denoising, lambda: (seeded(2, 5), seeded(2, 5, seed=1))),
    "robustness": (losses.robustness, lambda: (seeded(2, 5), seeded(2, 5, seed=1))),
    "semantic": (lambda a, b: losses.semantic(unit(a), unit(b)), lambda: (seeded(2, 5), seeded(2, 5, seed=1))),
    "compatibility": (
        lambda a, b: losses.compatibility(unit(a), unit(b)),
        lambda: (seeded(2, 5), seeded(2, 5, seed=1)),
    ),
    "consensus": (
        lambda p, a, b: losses.consensus(unit(p), unit(a), unit(b)),
        lambda: (seeded(2, 3, 5), seeded(2, 5, seed=1), seeded(2, 5, seed=2)),
    ),
    "bundle": (
        lambda a, b: losses.bundle([(a.softmax(-1), b.softmax(-1))]),
        lambda: (seeded(2, 7), seeded(2, 7, seed=1)),
    ),
    "perceptual": (
        lambda a, b: losses.perceptual(a, b, F.mse_loss),
        lambda: (seeded(1, 3, 2, 2), seeded(1, 3, 2, 2, seed=1)),
    ),
    "autoencoder": (losses.autoencoder, lambda: tuple(seeded(2, 4, seed=s) for s in range(4))),
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients(name):
    function, inputs = GRADIENTS[name]
    assert torch.autograd.gradcheck(function, tuple(x.requires_grad_(True) for x in inputs()))


def test_the_sum_has_the_published_weights():
    terms = losses.Terms(1.0, 10.0, 100.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0)
    assert losses.total(terms) == pytest.approx(1 + 10 + 100 + 0.1 + 0.1 + 0.1 + 1 + 0.5 + 0.5 + 0)
    assert losses.total(terms, losses.Weights(gan=2.0, mode_seeking=0.5)) == pytest.approx(2 * (1 + 5) + 102.3)


def test_the_public_text_of_every_loss_names_its_source():
    for function in (
        f for f in vars(losses).values() if callable(f) and getattr(f, "__module__", "") == losses.__name__
    ):
        if isinstance(function, type):
            continue
        text = function.__doc__
        assert any(word in text for word in ("(1", "code", "card", "published", "reconstructed", "LPIPS")), (
            function.__name__
        )
