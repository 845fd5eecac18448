"""Tiny real networks of the host for the node tests: a UNet with text attention, CLIP, a VAE, all with filled
weights.
"""

from types import SimpleNamespace

import pytest
import torch

UNET = {
    "image_size": 32, "in_channels": 4, "out_channels": 4, "model_channels": 32, "num_res_blocks": [1, 1],
    "channel_mult": [1, 2], "transformer_depth": [1, 1], "transformer_depth_output": [1, 1, 1, 1],
    "transformer_depth_middle": 1, "num_heads": 2, "num_head_channels": -1, "use_spatial_transformer": True,
    "use_linear_in_transformer": False, "context_dim": 32, "legacy": False, "adm_in_channels": None,
}  # fmt: skip
VAE = {"double_z": True, "z_channels": 4, "resolution": 64, "in_channels": 3, "out_ch": 3, "ch": 32,
       "ch_mult": [1, 1, 1, 1],
       "num_res_blocks": 1, "attn_resolutions": [], "dropout": 0.0}  # fmt: skip


def fill(module, seed, scale=0.08):
    """Weights that make a lively, finite network (the host leaves its layers uninitialised)."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in [*module.named_parameters(), *module.named_buffers()]:
            if not value.is_floating_point() or "sigmas" in name:
                continue
            noise = torch.randn(value.shape, generator=generator)
            is_norm = value.ndim == 1 and name.endswith("weight")
            value.copy_(1.0 + 0.1 * noise if is_norm else scale * noise)
    return module.requires_grad_(False)  # as under the inference mode in which the host runs nodes


@pytest.fixture(scope="session")
def tiny(host):
    """unet(seed, **changes) -> MODEL, clip() -> CLIP, vae() -> VAE, all real host objects of tiny width."""
    import comfy.latent_formats
    import comfy.model_base
    import comfy.model_management as mm
    import comfy.model_patcher
    import comfy.sd
    import comfy.sd1_clip
    import comfy.supported_models_base as base

    def unet(seed=0, latent_scale=1.0, model_type=None, latent_format=None, kind=comfy.model_base.BaseModel, **changes):
        class Config(base.BASE):
            unet_config = {}
            unet_extra_config = {}
            sampling_settings = {}

        Config.latent_format = latent_format or comfy.latent_formats.SD15
        config = Config({**UNET, **changes})
        config.latent_format = Config.latent_format()
        config.latent_format.scale_factor = latent_scale
        config.set_inference_dtype(torch.float32, None)
        model = kind(config, model_type or comfy.model_base.ModelType.EPS, device="cpu")
        fill(model.diffusion_model, seed)
        return comfy.model_patcher.ModelPatcher(model.eval(), mm.get_torch_device(), mm.unet_offload_device())

    def clip(seed=1):
        target = SimpleNamespace(params={}, clip=comfy.sd1_clip.SD1ClipModel, tokenizer=comfy.sd1_clip.SD1Tokenizer)
        small = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2, "num_hidden_layers": 2}
        made = comfy.sd.CLIP(target, model_options={"clip_l_model_config": small})
        fill(made.cond_stage_model, seed, scale=0.3)
        return made

    def vae(seed=2):
        config = {"params": {"embed_dim": 4, "ddconfig": VAE}}
        from comfy.ldm.models.autoencoder import AutoencoderKL

        made = AutoencoderKL(ddconfig=VAE, embed_dim=4)
        fill(made, seed)
        made = comfy.sd.VAE(sd=dict(made.state_dict()), config=config)
        made.first_stage_model.requires_grad_(False)
        return made

    return SimpleNamespace(unet=unet, clip=clip, vae=vae)


@pytest.fixture(scope="session")
def sample(host):
    """sample(model, positive, negative, latent, seed=, steps=, cfg=, sampler=) -> samples, by the host's KSampler."""

    def run(model, positive, negative, latent, seed=3, steps=3, cfg=2.0, sampler="euler", scheduler="normal", **more):
        noise = host.comfy.sample.prepare_noise(latent, seed)
        return host.comfy.sample.sample(
            model,
            noise,
            steps,
            cfg,
            sampler,
            scheduler,
            positive,
            negative,
            latent,
            seed=seed,
            disable_pbar=True,
            **more,
        )

    return run


TRYON_TRAINED = {"person": [64, 64], "garment": [32, 48], "whole": False, "steps": 2, "cfg": 1.5}


def _tryon_weights(seed: int, widths=(32, 64)) -> dict[str, torch.Tensor]:
    """Every tensor of a FastFit UNet, filled so that the network is lively and finite."""
    from atelier.models.fastfit import keys

    shape = keys.Architecture(
        widths=widths, layers=1, depths=(1, 1), middle_depth=1, in_channels=9, out_channels=4, latent_channels=4,
        classes=5, linear_projection=False, heads=4,
    )  # fmt: skip
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, size in keys.expected_shapes(shape).items():
        noise = torch.randn(size, generator=generator)
        norm = ".norm" in name or "norm_out" in name
        if norm and name.endswith("weight"):
            state[name] = 1 + 0.2 * noise
        else:
            state[name] = noise * (0.1 if len(size) == 1 else 1.2 * noise[0].numel() ** -0.5)
    state["class_embedding.weight"] = torch.randn(5, 4 * widths[0], generator=generator)
    return state


def _tryon_autoencoder(seed: int) -> dict[str, torch.Tensor]:
    from diffusers import AutoencoderKL

    torch.manual_seed(seed)
    kind = "DownEncoderBlock2D", "UpDecoderBlock2D"
    vae = AutoencoderKL(
        down_block_types=(kind[0],) * 4, up_block_types=(kind[1],) * 4, block_out_channels=(32,) * 4,
        layers_per_block=1,
        latent_channels=4,
    )  # fmt: skip
    return vae.state_dict()


@pytest.fixture(scope="session")
def tryon_folder(host):
    """The host's try-on folder with tiny.safetensors, a random FastFit network with its VAE and metadata."""
    import json

    from atelier.host import folders
    from safetensors.torch import save_file

    folder = host.base / "models" / "atelier" / "tryon"
    assert str(folder) in [str(path) for path in folders.paths("tryon")]
    folder.mkdir(parents=True, exist_ok=True)
    vae = {f"first_stage_model.{name}": value for name, value in _tryon_autoencoder(3).items()}
    metadata = {"format": "fastfit", "heads": 4, "trained": TRYON_TRAINED}
    save_file({**_tryon_weights(1), **vae}, str(folder / "tiny.safetensors"), {"atelier": json.dumps(metadata)})
    return folder


@pytest.fixture
def tryon_model(tryon_folder):
    """.model and .vae of tiny.safetensors, freshly loaded."""
    from atelier.host.tryon import load_tryon, tryon_defaults

    path = load_tryon.resolve("tiny.safetensors")
    model, vae = load_tryon.load(path)
    tryon_defaults.attach(model, tryon_defaults.read(path))
    return SimpleNamespace(model=model, vae=vae)


@pytest.fixture(scope="session")
def designer_folder(tmp_path_factory):
    """A folder with a tiny random designer as its recipe writes it: UNet, text encoder, ControlNet, autoencoder."""
    from atelier.dev.train.designer.designer import Designer
    from atelier.dev.train.designer.designer_files import export
    from atelier.models.studio.autoencoder import StudioAutoencoder
    from atelier.models.studio.designer.network import Config
    from atelier.models.studio.designer.text_encoder import TextConfig
    from safetensors.torch import save_file

    folder, config, text = tmp_path_factory.mktemp("designer"), Config(width=32), TextConfig(layers=1)
    torch.manual_seed(0)
    network = Designer(config, text, words=3)
    with torch.no_grad():
        for name, value in network.named_parameters():
            if value.requires_grad and "embedding" not in name:
                value.add_(0.05 * torch.randn(value.shape))
    numbers = [320, 736]  # "a", "red"
    export(network.state_dict(), numbers, config, text, folder, "a test")
    autoencoder = {name: value.clone() for name, value in StudioAutoencoder(32).state_dict().items()}
    save_file(autoencoder, folder / "autoencoder.safetensors")
    return folder


@pytest.fixture
def tiny_designer(designer_folder, host, monkeypatch):
    """Load Designer's "studio" is the tiny one."""
    from atelier.host.design import load_designer

    monkeypatch.setattr(load_designer, "STUDIO_FOLDER", designer_folder)
    return designer_folder
