"""Do the host's internals that the try-on model is built on still stand where they stood? One sentence says what
moved.
"""

from __future__ import annotations

import importlib
import inspect

NAMES = {
    "comfy.ldm.modules.diffusionmodules.openaimodel": ("UNetModel", "forward_timestep_embed"),
    "comfy.ldm.modules.attention": ("CrossAttention", "BasicTransformerBlock", "optimized_attention"),
    "comfy.model_base": ("BaseModel", "ModelType"),
    "comfy.supported_models_base": ("BASE",),
    "comfy.conds": ("CONDRegular",),
    "comfy.patcher_extension": ("WrappersMP",),
    "comfy.samplers": ("KSAMPLER",),
    "comfy.latent_formats": ("LatentFormat", "SD15"),
    "comfy.utils": ("unet_to_diffusers", "ProgressBar", "load_torch_file"),
    "comfy.model_management": ("throw_exception_if_processing_interrupted", "load_models_gpu", "intermediate_device"),
}
# (module, dotted name): arguments that are passed, by position (None) or by name
CALLS = {
    ("comfy.ldm.modules.diffusionmodules.openaimodel", "forward_timestep_embed"): (6, ()),
    ("comfy.ldm.modules.diffusionmodules.openaimodel", "UNetModel._forward"): (7, ()),
    ("comfy.ldm.modules.attention", "CrossAttention.forward"): (5, ("transformer_options",)),
    ("comfy.model_base", "BaseModel.__init__"): (3, ("device", "unet_model")),
    ("comfy.model_base", "BaseModel._apply_model"): (3, ("transformer_options",)),
    ("comfy.model_base", "BaseModel.load_model_weights"): (3, ()),
    ("comfy.samplers", "KSAMPLER.max_denoise"): (3, ()),
}


def what_moved() -> str | None:
    """The first internal that is missing or takes other arguments, None when all is well."""
    for module_name, names in NAMES.items():
        try:
            module = importlib.import_module(module_name)
        except ImportError:
            return module_name
        for name in names:
            if not hasattr(module, name):
                return f"{module_name}.{name}"
    for (module_name, name), (positions, by_name) in CALLS.items():
        function = importlib.import_module(module_name)
        for part in name.split("."):
            function = getattr(function, part, None)
        if function is None:
            return f"{module_name}.{name}"
        try:
            signature = inspect.signature(function)
            taken = list(signature.parameters)[:positions]
            signature.bind(*[None] * positions, **{argument: None for argument in by_name if argument not in taken})
        except TypeError:
            return f"{module_name}.{name}"
    return None


def raise_if_moved() -> None:
    moved = what_moved()
    if moved:
        raise ValueError(
            f"This ComfyUI has changed {moved}, which the try-on model is built on; update Atelier, or use "
            "ComfyUI 0.3.75 to 0.38."
        )
