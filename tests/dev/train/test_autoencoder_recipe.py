"""The studio autoencoder: an exact encoder, a padded decoder, and a file that the host's own VAE class takes."""

import pytest
import torch
from atelier.dev.train.autoencoder import Crops, DecoderTraining
from atelier.dev.train.latents import Latents
from atelier.dev.train.picture_loss import ssim
from atelier.dev.train.run import studio_latents
from atelier.models.studio import autoencoder as studio


@pytest.fixture(scope="module")
def latents(tmp_path_factory) -> Latents:
    return studio_latents(tmp_path_factory.mktemp("latents"), figures=60)


@pytest.fixture(scope="module")
def file(latents):
    torch.manual_seed(0)
    thin = studio.make_decoder(32)
    return studio.host_file(latents.encode_matrix, latents.mean, thin.state_dict()), thin


def test_latents_have_variance_one_and_lose_little(latents):
    from atelier.croquis import random_figure, render

    picture = torch.from_numpy(render(random_figure(55), want=("person",)).person).permute(2, 0, 1)[None].float() / 255
    z = latents.encode(picture)
    assert z.shape == (1, 32, 32, 24)
    assert 10 * torch.log10(1 / ((latents.decode(z) - picture) ** 2).mean()) > 27
    assert ssim(latents.decode(z), picture) > 0.9
    four = Latents(latents.encode_matrix[:4].contiguous(), latents.decode_matrix[:, :4].contiguous(), latents.mean)
    assert ssim(four.decode(four.encode(picture)), picture) < ssim(latents.decode(z), picture) - 0.05, (
        "control: 4 channels lose patterns"
    )


def test_latents_go_where_the_pictures_are(latents):
    """The meta device stands for a graphics card: mixed devices are refused there too."""
    z = latents.encode(torch.zeros(2, 3, 64, 48, device="meta"))
    assert z.device.type == "meta" and z.shape == (2, 32, 8, 6)
    assert latents.decode(z).shape == (2, 3, 64, 48)


def test_the_network_encodes_exactly(latents, file):
    network = studio.StudioAutoencoder(32)
    network.load_state_dict(file[0])
    picture = torch.rand(2, 3, 64, 48)
    with torch.no_grad():
        assert (network.encode(picture) - latents.encode(picture)).abs().max() < 1e-4
        extremes = torch.stack([torch.zeros(3, 64, 48), torch.ones(3, 64, 48)])
        assert (network.encode(extremes) - latents.encode(extremes)).abs().max() < 1e-4
        network.load_state_dict({name: value.half().float() for name, value in file[0].items()})
        assert (network.encode(picture) - latents.encode(picture)).abs().max() < 0.05, "stored in half precision"


def test_padding_changes_nothing(file):
    tensors, thin = file
    network = studio.StudioAutoencoder(32)
    network.load_state_dict(tensors)
    z = torch.randn(1, 32, 6, 5)
    with torch.no_grad():
        assert torch.allclose(network.decode(z), thin(z * studio.VAE_SCALE), atol=1e-5)


def test_the_hosts_vae_takes_the_file(host, file):
    import comfy.sd

    network = studio.StudioAutoencoder(32)
    network.load_state_dict(file[0])
    picture = torch.rand(1, 64, 48, 3)
    with torch.inference_mode():
        vae = comfy.sd.VAE(sd={name: value.clone() for name, value in file[0].items()})
        assert vae.latent_channels == 32
        z = vae.encode(picture)
        ours = network.encode(picture.permute(0, 3, 1, 2))
        assert torch.allclose(z, ours, atol=2e-3)
        made = vae.decode(ours)
        assert torch.allclose(made, network.decode(ours).clamp(0, 1).permute(0, 2, 3, 1), atol=1e-3)


def test_crops_are_the_pictures_of_their_latents(latents):
    z, picture = Crops(latents, batch=2).make(3)
    assert torch.allclose(latents.encode(picture), z, atol=1e-4)


def test_the_decoder_learns(latents):
    torch.manual_seed(0)
    module = DecoderTraining(latents, steps=40)
    optimizer, data = module.configure_optimizers(), Crops(latents, batch=1)
    z, picture = data.make(0)

    def error():
        with torch.no_grad():
            return (module.decoder(z * studio.VAE_SCALE) - picture).abs().mean().item()

    before = error()
    for _ in range(25):
        optimizer.zero_grad()
        (module.decoder(z * studio.VAE_SCALE) - picture).abs().mean().backward()
        optimizer.step()
    assert error() < 0.7 * before
