"""Tiny random designers of the studio's form: plain-torch networks, their files, and the loaded designer."""

import json
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file

METADATA = {
    "format": "designer", "prediction": "guess and spread", "zsnr": True, "beta_schedule": "linear",
    "linear_start": 0.00085,
    "linear_end": 0.012, "latent_channels": 32, "latent_scale": 1.0, "down": 8,
    "latent_rgb_factors": [[0.01 * i, 0.0, -0.01 * i] for i in range(32)],
}  # fmt: skip


def lively(module, seed):
    """No layer left at zero, so that every one of them counts in a comparison."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in module.parameters():
            noise = torch.randn(value.shape, generator=generator)
            value.copy_(1 + 0.1 * noise if value.ndim == 1 and value.mean() > 0.5 else 0.12 * noise)
    return module.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def made(host):
    """The three networks in plain torch, and a function that writes them as files with what `change` does to them."""
    import comfy.taesd.taesd
    from atelier.models.studio.designer.network import Config, DesignerUNet, PoseControlNet
    from atelier.models.studio.designer.text_encoder import TextConfig, TextEncoder

    config, text_config = Config(width=32), TextConfig(layers=2)
    torch.manual_seed(0)
    unet, text = lively(DesignerUNet(config), 1), TextEncoder(text_config).eval().requires_grad_(False)
    control = PoseControlNet(config).eval()
    with torch.no_grad():
        for value in control.parameters():
            if value.requires_grad:
                value.add_(0.05 * torch.randn(value.shape))
    control.requires_grad_(False)
    text = text.half().float()  # the host keeps text encoders in half precision
    vae = comfy.taesd.taesd.TAESD(latent_channels=32)

    def write(folder, change=lambda files: None):
        files = {
            "designer": [
                {f"model.diffusion_model.{k}": v for k, v in unet.state_dict().items()},
                {**METADATA, "unet_config": config.host_unet()},
            ],
            "text_encoder": [dict(text.state_dict()), {"config": text_config.clip()}],
            "pose_controlnet": [
                {f"control_model.{k}": v for k, v in control.state_dict().items()},
                {"config": config.host_controlnet()},
            ],
            "autoencoder": [{k: v.detach() for k, v in vae.state_dict().items()}, {}],
        }
        change(files)
        folder.mkdir(exist_ok=True)
        for name, (tensors, metadata) in files.items():
            tensors = {key: value.contiguous().clone() for key, value in tensors.items()}
            save_file(tensors, folder / f"{name}.safetensors", {"atelier": json.dumps(metadata)})
        return sorted(folder.glob("*.safetensors"))

    return SimpleNamespace(unet=unet, text=text, control=control, write=write)


@pytest.fixture(scope="module")
def designer(made, tmp_path_factory):
    from atelier.host.design import load_designer

    with torch.inference_mode():
        return load_designer.load(made.write(tmp_path_factory.mktemp("designer")))
