"""The host-side network against stock diffusers."""

import pytest
import torch

LATENTS = [(0, 6, 4), (2, 5, 7), (4, 8, 4)]  # class, height, width: odd sizes too


@pytest.fixture
def unet(tryon):
    return tryon[0].model.diffusion_model


def _garments(oracle, unet):
    for seed, (category, height, width) in enumerate(LATENTS):
        latent = torch.randn(1, 4, height, width, generator=torch.Generator().manual_seed(seed))
        yield (
            oracle.reference(latent, category),
            unet.reference_pass(latent, torch.tensor([category]), to_end=True),
            latent,
            category,
        )


def test_reference_pass_is_diffusers(oracle, unet):
    for (kv, out), (host_kv, host_out), _, _ in _garments(oracle, unet):
        assert len(kv) == len(host_kv) == unet.layers == 2 + 1 + 4
        for layer, host_layer in zip(kv, host_kv):
            for recorded, got in zip(layer, host_layer):
                torch.testing.assert_close(got, recorded, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(host_out, out, atol=1e-5, rtol=1e-5)


def test_shortened_pass_gives_the_same_kv_and_saves_the_end(unet, monkeypatch):
    latent, label = torch.randn(1, 4, 6, 4), torch.tensor([1])
    whole, out = unet.reference_pass(latent, label, to_end=True)
    monkeypatch.setattr(unet, "out", None)  # would fail if it were called
    short, nothing = unet.reference_pass(latent, label)
    assert nothing is None and out is not None
    assert all(torch.equal(a, b) for x, y in zip(whole, short) for a, b in zip(x, y))


def test_step_with_garments_is_diffusers(oracle, unet):
    from atelier.host.tryon.encoded_garment import Rows

    sample, time = torch.randn(2, 9, 9, 6, generator=torch.Generator().manual_seed(7)), 321
    pairs = [(kv, host_kv) for (kv, _), (host_kv, _), _, _ in _garments(oracle, unet)]
    expected = oracle.denoise(sample, time, [kv for kv, _ in pairs])
    got = unet(sample, torch.full((2,), float(time)), garments=(Rows(2, tuple(kv for _, kv in pairs)),))
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)
    without = unet(sample, torch.full((2,), float(time)))
    torch.testing.assert_close(without, oracle.denoise(sample, time, []), atol=1e-5, rtol=1e-5)
    assert (got - without).abs().max() > 0.01


@pytest.mark.parametrize("mistake", ["another class", "a time embedding", "another latent"])
def test_mistakes_are_far_outside_the_tolerance(oracle, unet, mistake):
    (kv, _), _, latent, category = next(_garments(oracle, unet))
    if mistake == "a time embedding":
        unet.class_embedding.weight.data += unet.time_embed(torch.zeros(1, unet.model_channels))
    category += mistake == "another class"
    wrong, _ = unet.reference_pass(latent.flip(1) if mistake == "another latent" else latent, torch.tensor([category]))
    assert max((w - k).abs().max() for x, y in zip(wrong, kv) for w, k in zip(x, y)) > 1e-2


def test_rows_in_different_outfits_are_each_row_alone(unet):
    """Outfits of different length in one batch: what a mask per row does in the released code, without its bug."""
    from atelier.host.tryon.encoded_garment import Rows

    kv = [
        unet.reference_pass(torch.randn(1, 4, *size), torch.tensor([i]))[0]
        for i, size in enumerate([(6, 4), (5, 7), (6, 4)])
    ]
    sample, times = torch.randn(4, 9, 8, 6), torch.full((4,), 500.0)
    outfits = [(kv[0],), (kv[0], kv[1]), (), (kv[2],)]
    together = unet(sample, times, garments=tuple(Rows(1, outfit) for outfit in outfits))
    for row, outfit in enumerate(outfits):
        alone = unet(sample[row : row + 1], times[:1], garments=(Rows(1, outfit),))
        torch.testing.assert_close(together[row : row + 1], alone, atol=1e-5, rtol=1e-5)
    assert (together[0] - unet(sample[:1], times[:1], garments=(Rows(1, outfits[1]),))[0]).abs().max() > 1e-3


def test_order_of_garments_changes_only_rounding(unet):
    from atelier.host.tryon.encoded_garment import Rows

    kv = [unet.reference_pass(torch.randn(1, 4, 6, 4), torch.tensor([i]))[0] for i in range(3)]
    sample = torch.randn(1, 9, 8, 6)
    forward, backward = (
        unet(sample, torch.tensor([500.0]), garments=(Rows(1, tuple(order)),)) for order in (kv, kv[::-1])
    )
    torch.testing.assert_close(forward, backward, atol=1e-5, rtol=1e-5)


def test_every_tile_reads_every_garment(unet):
    """HyperTile gives attention more query rows than K,V rows: each tile must see the garments whole, and its own
    tokens.
    """
    import comfy.ldm.modules.attention as attention
    from atelier.host.tryon.encoded_garment import Rows
    from atelier.host.tryon.fastfit_model import GARMENTS

    layer = next(m for m in unet.modules() if getattr(m, "garment_layer", None) == 0)
    kv, _ = unet.reference_pass(torch.randn(1, 4, 6, 4), torch.tensor([0]))
    tokens = torch.randn(2, 48, 32)
    tiles = tokens.reshape(2 * 4, 12, 32)
    got = layer(tiles, context=tokens, transformer_options={GARMENTS: (Rows(2, (kv,)),)})
    own_k, own_v = (f(tokens).reshape(8, 12, 32) for f in (layer.to_k, layer.to_v))
    k, v = (torch.cat([garment.expand(8, -1, -1), own], 1) for garment, own in zip(kv[0], (own_k, own_v)))
    expected = layer.to_out(attention.optimized_attention(layer.to_q(tiles), k, v, layer.heads))
    torch.testing.assert_close(got, expected)


def test_training_network_is_the_hosts(oracle, unet):
    """The plain-torch network that training runs, with the same tensors."""
    from atelier.host.tryon.encoded_garment import Rows
    from atelier.models.fastfit.network import Config, FastFitUNet, join

    plain = FastFitUNet(Config((32, 64, 64), 1, (True, True, False), None, 4, 4)).eval()
    plain.load_state_dict(oracle.state_dict())
    latents = [torch.randn(1, 4, 6, 4), torch.randn(1, 4, 5, 7)]
    with torch.no_grad():
        kept = [plain.reference(latent, torch.tensor([i])) for i, latent in enumerate(latents)]
        ours = [unet.reference_pass(latent, torch.tensor([i]))[0] for i, latent in enumerate(latents)]
        for a, b in zip(kept, ours):
            for x, y in zip(a, b):
                torch.testing.assert_close(x, y, atol=1e-5, rtol=1e-5)
        sample, time = torch.randn(1, 9, 9, 6), torch.tensor([321.0])
        got = unet(sample, time, garments=(Rows(1, tuple(ours)),))
        torch.testing.assert_close(got, plain(sample, time, join(kept)), atol=1e-5, rtol=1e-5)
        assert (got - plain(sample, time)).abs().max() > 0.01
