"""Guidance by channel: what a file's shares do to a run of the host, and what is refused."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

WEIGHTS = "diffusion_pytorch_model.safetensors"
CFG, SHARES = 2.5, [0.0, 1.0, 2.0, 0.5]


@pytest.fixture
def loaded(host, tryon_folder, tmp_path):
    """A try-on model out of one file whose metadata names these shares."""
    from atelier.host.tryon import load_tryon

    def make(guided):
        state = load_file(tryon_folder / "unet" / WEIGHTS)
        state |= {f"first_stage_model.{key}": value for key, value in load_file(tryon_folder / "vae" / WEIGHTS).items()}
        path = tmp_path / "one.safetensors"
        save_file(state, path, {"atelier": json.dumps({"heads": 4} | ({} if guided is None else {"guided": guided}))})
        return load_tryon.load(str(path))[0]

    return make


def test_each_channel_is_guided_by_its_share(loaded, dress):
    """Oracle: of one step the result is linear in cfg, so that each channel is that of a plain run at its own cfg."""
    plain, model = loaded(None), loaded(SHARES)
    got = dress.run(model, dress.outfit(model), cfg=CFG, steps=1)
    for channel, share in enumerate(SHARES):
        wanted = dress.run(plain, dress.outfit(plain), cfg=1 + (CFG - 1) * share, steps=1)[:, channel]
        torch.testing.assert_close(got[:, channel], wanted, rtol=1e-4, atol=1e-4 * wanted.abs().max().item())
    uniform = dress.run(plain, dress.outfit(plain), cfg=CFG, steps=1)
    differ = (got - uniform).abs().amax((0, 2, 3)) > 1e-2 * uniform.abs().max()
    assert differ.tolist() == [True, False, True, True], "control: shares of 1 alone change nothing"


@pytest.mark.parametrize("cfg", [1.0, 0.0])
def test_without_guidance_or_without_the_prompt_shares_change_nothing(loaded, dress, cfg):
    results = [dress.run(model, dress.outfit(model), cfg=cfg) for model in (loaded(None), loaded(SHARES))]
    assert torch.equal(*results)


def test_cfg_nodes_of_the_host_act_on_top(loaded, dress):
    """RescaleCFG brings the result's deviation to that of the prompt's own, in place of the host's cfg."""
    from comfy_extras.nodes_model_advanced import RescaleCFG

    runs = [
        dress.run(RescaleCFG().patch(model, multiplier)[0], dress.outfit(model), cfg=CFG, steps=1)
        for model in (loaded(None), loaded(SHARES))
        for multiplier in (0.0, 1.0)
    ]
    (plain, plain_rescaled), (shared, shared_rescaled) = runs[:2], runs[2:]
    assert not torch.allclose(shared, plain, rtol=1e-2) and not torch.allclose(
        shared_rescaled, plain_rescaled, rtol=1e-2
    )
    assert not torch.allclose(shared, shared_rescaled, rtol=1e-3)
    bare = loaded(SHARES)
    torch.testing.assert_close(shared, dress.run(bare, dress.outfit(bare), cfg=CFG, steps=1), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    "guided", [[1.0, 1.0], [1.0, 1.0, 1.0, -1.0], [1.0, 1.0, 1.0, float("nan")], ["1"] * 4, "all", 1.0]
)
def test_shares_that_do_not_fit_are_refused(loaded, guided):
    with pytest.raises(
        ValueError, match=r"one\.safetensors.*(guidance shares for .* expected 4 numbers|NaN is no number)"
    ):
        loaded(guided)
