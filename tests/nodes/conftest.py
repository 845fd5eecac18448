"""Tiny real networks of the host for the node tests: a UNet with text attention, CLIP, a VAE, all with filled weights."""

from types import SimpleNamespace

import pytest
import torch

UNET = {
    "image_size": 32, "in_channels": 4, "out_channels": 4, "model_channels": 32, "num_res_blocks": [1, 1],
    "channel_mult": [1, 2], "transformer_depth": [1, 1], "transformer_depth_output": [1, 1, 1, 1],
    "transformer_depth_middle": 1, "num_heads": 2, "num_head_channels": -1, "use_spatial_transformer": True,
    "use_linear_in_transformer": False, "context_dim": 32, "legacy": False, "adm_in_channels": None,
}  # fmt: skip
VAE = {"double_z": True, "z_channels": 4, "resolution": 64, "in_channels": 3, "out_ch": 3, "ch": 32, "ch_mult": [1, 1, 1, 1],
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
    return module


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
        return comfy.sd.VAE(sd=dict(made.state_dict()), config=config)

    return SimpleNamespace(unet=unet, clip=clip, vae=vae)


@pytest.fixture(scope="session")
def sample(host):
    """sample(model, positive, negative, latent, seed=, steps=, cfg=, sampler=) -> samples, by the host's KSampler."""

    def run(model, positive, negative, latent, seed=3, steps=3, cfg=2.0, sampler="euler", scheduler="normal", **more):
        noise = host.comfy.sample.prepare_noise(latent, seed)
        return host.comfy.sample.sample(
            model, noise, steps, cfg, sampler, scheduler, positive, negative, latent, seed=seed, disable_pbar=True, **more
        )

    return run
