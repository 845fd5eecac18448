"""Tiny random networks of the host for the prompt tests: CLIP, MODEL and ControlNet of every family, and runs of its
own sampler.
"""

from types import SimpleNamespace

import torch

CONCEPT = "Dress, Elegant, Party"
WIDTH = 32  # of every network here


def fill(module, seed):
    """The host leaves new layers uninitialised."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.copy_(
                torch.randn(parameter.shape, generator=generator) * 0.08
                + (1.0 if "norm" in name and "weight" in name else 0.0)
            )


def tiny_clip(family):
    """The host's CLIP (tokenizer and text model) at two layers of width 32."""
    import comfy.sd
    import comfy.sd1_clip
    import comfy.sdxl_clip
    import comfy.text_encoders.sd2_clip as sd2

    size = {
        "hidden_size": WIDTH,
        "intermediate_size": WIDTH,
        "num_attention_heads": 2,
        "num_hidden_layers": 3,
        "projection_dim": WIDTH,
    }
    model, tokenizer = {
        "sd15": (comfy.sd1_clip.SD1ClipModel, comfy.sd1_clip.SD1Tokenizer),
        "sd2": (sd2.SD2ClipModel, sd2.SD2Tokenizer),
        "sdxl": (comfy.sdxl_clip.SDXLClipModel, comfy.sdxl_clip.SDXLTokenizer),
    }[family]
    target = SimpleNamespace(params={}, clip=model, tokenizer=tokenizer)
    options = {f"clip_{letter}_model_config": dict(size) for letter in "lgh"}
    clip = comfy.sd.CLIP(target, model_options={**options, "dtype": torch.float32})
    fill(clip.cond_stage_model, 1)
    return clip


def unet_config(context, adm=None):
    return {
        "image_size": 8, "in_channels": 4, "out_channels": 4, "model_channels": WIDTH,
        "channel_mult": [1, 2], "num_res_blocks": [1, 1],
        "transformer_depth": [1, 1], "transformer_depth_output": [1, 1, 1, 1],
        "transformer_depth_middle": 1, "num_heads": 2,
        "num_head_channels": -1, "use_spatial_transformer": True, "use_linear_in_transformer": True, "legacy": False,
        "context_dim": context, "adm_in_channels": adm,
        "num_classes": None if adm is None else "sequential", "dtype": torch.float32,
    }  # fmt: skip


def tiny_model(family, kind="EPS"):
    """A host MODEL of the family around the host's own UNet."""
    import comfy.latent_formats
    import comfy.model_base
    import comfy.model_management
    import comfy.model_patcher
    import comfy.supported_models_base

    sdxl = family == "sdxl"
    config = comfy.supported_models_base.BASE(
        unet_config(2 * WIDTH if sdxl else WIDTH, WIDTH + 6 * 256 if sdxl else None)
    )
    config.unet_config |= {"num_heads": 2, "num_head_channels": -1}  # the base class asks for heads of 64
    config.latent_format = comfy.latent_formats.SD15()
    config.set_inference_dtype(torch.float32, None)
    if kind == "FLOW":
        config.sampling_settings = {"shift": 3.0}
    base = (comfy.model_base.SDXL if sdxl else comfy.model_base.BaseModel)(
        config, getattr(comfy.model_base.ModelType, kind)
    )
    fill(base.diffusion_model, 2)
    return comfy.model_patcher.ModelPatcher(base, torch.device("cpu"), torch.device("cpu"))


def tiny_control_net():
    import comfy.cldm.cldm
    import comfy.controlnet
    import comfy.ops

    config = {
        k: v
        for k, v in unet_config(WIDTH).items()
        if k not in ("out_channels", "transformer_depth_output", "adm_in_channels", "num_classes")
    }
    network = comfy.cldm.cldm.ControlNet(**config, hint_channels=3, operations=comfy.ops.disable_weight_init)
    fill(network, 3)
    return comfy.controlnet.ControlNet(network, load_device=torch.device("cpu"))


def encode(clip, text):
    return clip.encode_from_tokens_scheduled(clip.tokenize(text))


def prompts(family, model, attributes="Long\nV-Neck\nRuffle Hem\nred\nblue\ngreen"):
    """positive, negative and timetable as the node's graph makes them, for any family of text encoder."""
    from atelier.craft.prompt import timetable as craft
    from atelier.craft.prompt.prompt_text import parse_attributes
    from atelier.host.prompt.prompt_windows import resolved, restrict

    clip = tiny_clip(family)
    timetable = resolved(craft.build(CONCEPT, parse_attributes(attributes)), model)
    entries = [entry for s in timetable.stages for entry in restrict(encode(clip, s.text), s.start, s.stop, model)]
    return entries, encode(clip, "blurry"), timetable, clip


@torch.no_grad()
def sample(model, positive, negative, sigmas, seed=5, sampler="euler", cfg=3.0, size=8):
    import comfy.sample
    import comfy.samplers

    latent = torch.zeros(1, 4, size, size)
    noise = comfy.sample.prepare_noise(latent, seed)
    return comfy.sample.sample_custom(
        model,
        noise,
        cfg,
        comfy.samplers.sampler_object(sampler),
        sigmas,
        positive,
        negative,
        latent,
        disable_pbar=True,
        seed=seed,
    )
