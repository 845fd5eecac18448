"""Outfit to References: garments as references of an edit model, a tiny FLUX of random weights."""

import math

import pytest
import torch
from atelier.tests.nodes.edit.edit_part import box, picture, run


def outfit(*garments):
    from atelier.nodes.sockets import Garment, Outfit

    return Outfit(tuple(Garment(picture, category, "pad", (0, 0), category) for category, picture in garments))


def later_flux_settings() -> dict:
    """What later hosts' detection of a FLUX.1 checkpoint adds to its settings."""
    from comfy.ldm.flux.model import FluxParams

    return {"txt_ids_dims": []} if "txt_ids_dims" in FluxParams.__dataclass_fields__ else {}


@pytest.fixture(scope="module")
def edit_model(host, tiny):
    """A tiny FLUX with random weights, as Kontext is built, and its 16-channel VAE."""
    import comfy.latent_formats
    import comfy.model_base
    import comfy.model_management as mm
    import comfy.model_patcher
    import comfy.sd
    import comfy.supported_models_base as base
    from comfy.ldm.models.autoencoder import AutoencoderKL

    class Config(base.BASE):
        unet_config = {}
        unet_extra_config = {}
        sampling_settings = {"shift": 1.15}
        latent_format = comfy.latent_formats.Flux

    config = Config(
        {
            "image_model": "flux",
            "in_channels": 16,
            "out_channels": 16,
            "vec_in_dim": 8,
            "context_in_dim": 16,
            "hidden_size": 32,
            "mlp_ratio": 2.0,
            "num_heads": 2,
            "depth": 1,
            "depth_single_blocks": 1,
            "axes_dim": [4, 6, 6],
            "theta": 10000,
            "patch_size": 2,
            "qkv_bias": True,
            "guidance_embed": False,
            **later_flux_settings(),
        }
    )
    config.set_inference_dtype(torch.float32, None)
    model = comfy.model_base.Flux(config, device="cpu")
    small = {
        "double_z": True,
        "z_channels": 16,
        "resolution": 64,
        "in_channels": 3,
        "out_ch": 3,
        "ch": 32,
        "ch_mult": [1, 1, 1, 1],
        "num_res_blocks": 1,
        "attn_resolutions": [],
        "dropout": 0.0,
    }
    network = AutoencoderKL(ddconfig=small, embed_dim=16)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for module in (model.diffusion_model, network):
            for name, value in module.named_parameters():
                noise = torch.randn(value.shape, generator=generator)
                value.copy_(1 + 0.1 * noise if value.ndim == 1 and "bias" not in name else 0.08 * noise)
    vae = comfy.sd.VAE(sd=dict(network.state_dict()), config={"params": {"embed_dim": 16, "ddconfig": small}})
    patcher = comfy.model_patcher.ModelPatcher(model.eval(), mm.get_torch_device(), mm.unet_offload_device())
    return patcher, vae


def test_each_garment_becomes_a_reference_in_order(host, edit_model):
    from atelier.nodes.edit import WAYS, OutfitToReferences

    vae = edit_model[1]
    worn = outfit(("upper", picture(size=(48, 64), seed=1)), ("shoe", picture(size=(64, 32), seed=2)))
    prompt = [[torch.zeros(1, 4, 16), {"pooled_output": torch.zeros(1, 8)}]]
    given, sheet, words = OutfitToReferences().execute(worn, WAYS[0], 0.0, prompt, vae, picture(size=(64, 64)))[
        "result"
    ]
    latents = given[0][1]["reference_latents"]
    assert [tuple(x.shape[-2:]) for x in latents] == [(8, 8), (8, 6), (4, 8)]
    assert torch.equal(latents[1], vae.encode(picture(size=(48, 64), seed=1)))
    assert words == "image 1: person; image 2: top; image 3: shoes"
    assert "reference_latents" not in prompt[0][1]
    again, _, _ = OutfitToReferences().execute(worn, WAYS[1], 0.0, given, vae)["result"]
    assert len(again[0][1]["reference_latents"]) == 4
    assert sheet.ndim == 4 and sheet.shape[2] > 2 * 48


def test_references_are_scaled_to_the_models_size(host):
    from atelier.host.tryon.outfit_references import fitted

    for size in ((300, 400), (1000, 333), (30, 700)):
        scaled = fitted(torch.rand(1, size[1], size[0], 3), 0.25)
        height, width = scaled.shape[1:3]
        assert width % 16 == height % 16 == 0
        assert abs(width * height / 0.25e6 - 1) < 0.2
        assert abs(math.log(width / height) - math.log(size[0] / size[1])) < 0.25


def test_unfit_outfits_are_refused(host, edit_model):
    from atelier.nodes.edit import WAYS, OutfitToReferences

    node = OutfitToReferences()
    with pytest.raises(ValueError, match="empty"):
        node.execute(outfit(), WAYS[0], 1.0)
    with pytest.raises(ValueError, match="2 pictures"):
        node.execute(outfit(("upper", picture(2))), WAYS[0], 1.0)
    with pytest.raises(ValueError, match="2 people"):
        node.execute(outfit(("upper", picture())), WAYS[0], 1.0, person=picture(2))
    with pytest.raises(ValueError, match="connect both"):
        node.execute(outfit(("upper", picture())), WAYS[0], 1.0, vae=edit_model[1])


def test_an_edit_model_dresses_the_mask_and_keeps_the_rest(edit, edit_model):
    """The whole way with a FLUX of random weights: the garment reaches the model, and only the mask changes."""
    from atelier.nodes.edit import WAYS, OutfitToReferences

    model, vae = edit_model
    prompt = [[torch.randn(1, 4, 16, generator=torch.Generator().manual_seed(5)), {"pooled_output": torch.ones(1, 8)}]]
    image, mask = picture(), box()

    def dressed(garment):
        given = OutfitToReferences().execute(outfit(("upper", garment)), WAYS[0], 0.0, prompt, vae, image)["result"][0]
        parts = {"model": model, "vae": vae, "positive": given, "negative": prompt}
        return run(edit, parts, image, mask, start="free", start_level=1000.0, steps=2, cfg=1.0, scheduler="simple")[1]

    red, other = dressed(picture(size=(32, 32), seed=8)), dressed(picture(size=(32, 32), seed=9))
    outside = mask[0] == 0
    assert torch.equal(red[0][outside], image[0][outside])
    assert not torch.equal(red[0][~outside], other[0][~outside])
