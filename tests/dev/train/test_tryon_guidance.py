"""Shares of guidance by channel: what they are fitted from, and that fitting leaves the weights alone."""

import pytest
import torch
from atelier.dev.train.tryon import one_step, tryon_guidance
from atelier.dev.train.tryon.tryon import export
from atelier.models.fastfit.network import Config, FastFitUNet
from safetensors.torch import load_file

TINY = Config(widths=(32, 64), attention=(True, True), head_dim=16, latent_channels=8)


def test_shares_of_guidance_are_the_variance_that_a_step_lacks(latents, tmp_path, monkeypatch):
    def faint(_network, latents, batch, seed):
        """The truth, its fourth channel at half its contrast and the fifth twice as strong."""
        gains = torch.tensor([1, 1, 1, 0.5, 2, *[1] * (latents.channels - 5)])
        return latents.encode(batch.person.float() / 255) * gains[:, None, None]

    monkeypatch.setattr(tryon_guidance.one_step, "predict", faint)
    monkeypatch.setattr(tryon_guidance, "FIGURES", 3)
    network = FastFitUNet(TINY)
    export(network.state_dict(), network.config, tmp_path / "x.safetensors")
    before = load_file(tmp_path / "x.safetensors")
    shares = tryon_guidance.refit(tmp_path / "x.safetensors", latents)
    assert shares[3] == pytest.approx(0.75 * tryon_guidance.STRONGEST / (tryon_guidance.CFG - 1), abs=0.01)
    assert max(share for channel, share in enumerate(shares) if channel != 3) == 0
    after = load_file(tmp_path / "x.safetensors")
    assert all(torch.equal(before[name], after[name]) for name in before | after)
    assert one_step.described(tmp_path / "x.safetensors")["guided"] == shares
