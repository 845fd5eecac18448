"""UniFashion's diffusion form on the host's own U-Net: a sketch enters the decoder through zero cross-attention.

The copy runs once a call in a wrapper of the diffusion model and leaves its maps in that call's own options; the host
calls the output-block patch just before each skip is joined, which is the published place. Any sampler and LoRA works.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import comfy.model_management
import comfy.patcher_extension
import torch

from ...models.unifashion.zero_cross_attention import PERSON_CHANNELS, ZeroCrossAttention, person_channels
from ..managed_network import patcher_class

if TYPE_CHECKING:
    from ..host_types import Image, Mask, Model, Vae

KEY, MAPS = "atelier_zero_cross_attention", "atelier_encoder_copy_maps"


class _SketchControl:
    """Immutable: the control network under its patcher, and the pictures of one node, as latents.

    The host copies model options deeply on every clone; this stays one object.
    """

    def __init__(self, patcher, hint: torch.Tensor, person: torch.Tensor | None, strength: float):
        self._patcher, self._hint, self._person, self._strength = patcher, hint, person, strength

    def __deepcopy__(self, _memo):
        return self

    def models(self) -> list:
        """The host loads these together with the model that carries this patch."""
        return [self._patcher]

    def __call__(self, h, skip, transformer_options):
        maps = transformer_options.get(MAPS)
        kind, number = transformer_options["block"]
        if maps is None or kind != "output":
            return h, skip
        return self._patcher.model.enter(number, h, maps, self._strength), skip

    def run_copy(
        self, executor, x, timesteps=None, context=None, y=None, control=None, transformer_options=None, **kwargs
    ):
        network = self._patcher.model
        dtype = next(network.parameters()).dtype
        maps = network.maps(x.to(dtype), timesteps, context.to(dtype), self._hint.to(x.device, dtype))
        options = {**(transformer_options or {}), MAPS: [one.to(x.dtype) for one in maps]}
        return executor(x, timesteps, context, y, control, options, **kwargs)

    def add_person(self, executor, x, t, c_concat=None, *args, **kwargs):
        person = self._person
        if person is not None:
            if person.shape[-2:] != x.shape[-2:]:
                person = torch.nn.functional.interpolate(person, x.shape[-2:], mode="bilinear", antialias=True)
            c_concat = person.repeat(-(-len(x) // len(person)), 1, 1, 1)[: len(x)]
        return executor(x, t, c_concat, *args, **kwargs)


def load(state: dict[str, torch.Tensor], heads: int = 8) -> Model:
    """A control under the host's memory management, from a checkpoint's tensors."""
    network = ZeroCrossAttention.from_state(state, heads).requires_grad_(False)
    management = comfy.model_management
    device = management.get_torch_device()
    network.to(management.unet_dtype(device, sum(p.numel() for p in network.parameters())))
    return patcher_class()(network, load_device=device, offload_device=management.unet_offload_device())


def apply(
    model: Model, control: Model, hint: torch.Tensor, person: torch.Tensor | None, strength: float = 1.0
) -> Model:
    """The MODEL with the sketch's control. hint [B, 4, h, w] and person [B, 9, h, w]: already scaled latents.

    Raises ValueError when the model's input channels do not fit: 13 with a person (4 noise + 9), 4 without.
    """
    channels = model.model.diffusion_model.input_blocks[0][0].weight.shape[1] if hasattr(
        model.model.diffusion_model, "input_blocks") else 0  # fmt: skip
    copied = control.model.control_model.input_blocks[0][0].weight.shape[1]
    wanted = copied if person is None else copied - PERSON_CHANNELS + person.shape[1]
    if channels != copied or wanted != copied:
        raise ValueError(
            f"The control was made for a U-Net of {copied} input channels, the model has {channels}: load both from"
            " the same StableVITON or UniFashion checkpoint."
        )
    patch, patched = _SketchControl(control, hint, person, strength), model.clone()
    patched.set_model_output_block_patch(patch)
    wrappers = comfy.patcher_extension.WrappersMP
    patched.add_wrapper_with_key(wrappers.DIFFUSION_MODEL, KEY, patch.run_copy)
    if person is not None:
        patched.add_wrapper_with_key(wrappers.APPLY_MODEL, KEY, patch.add_person)
    return patched


def person_latents(
    model: Model, vae: Vae, agnostic: torch.Tensor, mask: torch.Tensor, densepose: torch.Tensor
) -> torch.Tensor:
    """IMAGE agnostic [B, H, W, 3], MASK to repaint [B, H, W] (1 = repaint), IMAGE densepose -> [B, 9, h, w]."""
    agnostic_latent, pose_latent = (scaled(model, vae.encode(picture[..., :3])) for picture in (agnostic, densepose))
    return person_channels(agnostic_latent, 1.0 - mask[:, None], pose_latent.expand(len(agnostic_latent), -1, -1, -1))


def scaled(model: Model, latent: torch.Tensor) -> torch.Tensor:
    return model.model.process_latent_in(latent)


def from_pictures(
    model: Model,
    vae: Vae,
    path: str,
    sketch: Image,
    strength: float,
    agnostic: Image | None,
    mask: Mask | None,
    densepose: Image | None,
) -> Model:
    """What the node does: read the control from a checkpoint, encode the pictures, patch the model."""
    import comfy.utils

    if not path.endswith((".safetensors", ".sft")):
        raise ValueError(f"{path} is not a .safetensors file: turn it into one with `python dev.py convert` first.")
    given = [picture for picture in (agnostic, mask, densepose) if picture is not None]
    if len(given) not in (0, 3):
        raise ValueError(f"{len(given)} of agnostic, mask and densepose are connected: connect all three or none.")
    control = load(comfy.utils.load_torch_file(path, safe_load=True))
    hint = scaled(model, vae.encode(sketch[..., :3]))
    person = person_latents(model, vae, agnostic, mask, densepose) if given else None
    return apply(model, control, hint, person, strength)
