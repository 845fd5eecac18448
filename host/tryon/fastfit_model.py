"""FastFit as a model of the host's own: its UNetModel without text attention, whose self-attention also reads garments.

Two passes go through the same weights (FastFit, arXiv 2508.20586, section 3; released code). The reference pass turns
one garment's latent into the K,V of every self-attention, with a class embedding where the time embedding goes. A
denoising step attends to the garments' K,V beside its own tokens. Which garments belong to which rows arrives with
each call (`garment_conditioning.py`); nothing about a run is kept on a module.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import comfy.latent_formats
import comfy.ldm.modules.attention as attention
import comfy.model_base
import comfy.model_management
import comfy.supported_models_base
import comfy.utils
import torch
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel, forward_timestep_embed
from torch import nn

from ...models.fastfit.keys import Architecture
from ...models.fastfit.noise_schedule import NoiseSchedule
from .encoded_garment import CONDITIONING_KEY, LayerKV, Rows, most_tokens
from .garment_conditioning import garments_of_a_run

RECORD, GARMENTS = "atelier_record", "atelier_garments"


class _Recorded(Exception):
    """Ends a reference pass at the last layer's K,V: what comes after them is not used by anybody."""


class _Recorder:
    def __init__(self, layers: int, stop: bool):
        self.layers, self.stop = layers, stop
        self.kv: list[LayerKV] = []

    def add(self, k: torch.Tensor, v: torch.Tensor) -> None:
        self.kv.append((k, v))
        if self.stop and len(self.kv) == self.layers:
            raise _Recorded


class GarmentAttention(attention.CrossAttention):
    """The host's attention layer as a self-attention that can record its K,V or read garments' K,V in front of its
    own.
    """

    def forward(
        self,
        x: torch.Tensor,
        context: torch.Tensor | None = None,
        value: torch.Tensor | None = None,
        mask: torch.Tensor | None = None,
        transformer_options: dict = {},  # noqa: B006  the host's
        **kwargs: Any,
    ) -> torch.Tensor:
        recorder, rows = transformer_options.get(RECORD), transformer_options.get(GARMENTS)
        if recorder is None and not rows:
            return super().forward(x, context, value, mask, transformer_options=transformer_options, **kwargs)
        context = x if context is None else context
        q, k, v = self.to_q(x), self.to_k(context), self.to_v(context if value is None else value)
        if recorder is not None:
            recorder.add(k, v)
            return self.to_out(self._attend(q, k, v, transformer_options))
        tiles = q.shape[0] // k.shape[0]
        if tiles > 1:
            # HyperTile cuts only the queries into tiles; the host's attention then cuts K,V by reshaping them.
            k, v = (t.reshape(q.shape[0], -1, t.shape[-1]) for t in (k, v))
        return self.to_out(self._attend_with_garments(q, k, v, rows, tiles, transformer_options))

    def _attend(self, q, k, v, transformer_options):
        return attention.optimized_attention(
            q, k, v, self.heads, attn_precision=self.attn_precision, transformer_options=transformer_options
        )

    def _attend_with_garments(self, q, k, v, rows: tuple[Rows, ...], tiles: int, transformer_options):
        """One attention call where every row has as many garment tokens, else one call for each group of rows."""
        extra = [sum(kv[self.garment_layer][0].shape[1] for kv in group.garments) for group in rows]
        if len(set(extra)) == 1:
            return self._attend(q, *self._extend(k, v, rows, tiles, extra[0]), transformer_options)
        out, start = [], 0
        for group, tokens in zip(rows, extra):
            part = slice(start, start + group.count * tiles)
            start = part.stop
            out.append(
                self._attend(q[part], *self._extend(k[part], v[part], (group,), tiles, tokens), transformer_options)
            )
        return torch.cat(out)

    def _extend(self, k, v, rows: tuple[Rows, ...], tiles: int, tokens: int) -> LayerKV:
        """Garments' K,V in front of the rows' own; a garment is held as one row and spread over its rows only here."""
        if not tokens:
            return k, v
        extended = []
        for which, own in enumerate((k, v)):
            whole = own.new_empty((own.shape[0], tokens + own.shape[1], own.shape[2]))
            whole[:, tokens:] = own
            start = 0
            for group in rows:
                stop, at = start + group.count * tiles, 0
                for kv in group.garments:
                    part = kv[self.garment_layer][which]
                    whole[start:stop, at : at + part.shape[1]] = part.to(own.device, own.dtype)
                    at += part.shape[1]
                start = stop
            extended.append(whole)
        return extended[0], extended[1]


class _NoTextAttention(nn.Module):
    """In place of the text attention that FastFit lacks. None would not do: the host's block then adds attn1 twice."""

    def forward(self, x, *args, **kwargs):
        return torch.zeros_like(x)


class GarmentUNet(UNetModel):
    """The host's UNet with garment attention. `classes`: how many garment classes; `garment_channels`: of their
    latents.
    """

    def __init__(self, classes: int, garment_channels: int, *args, dtype=None, device=None, operations=None, **kwargs):
        super().__init__(*args, dtype=dtype, device=device, operations=operations, **kwargs)
        place = {"dtype": dtype, "device": device}
        self.class_embedding = operations.Embedding(classes, 4 * self.model_channels, **place)
        self.condition_conv_in = operations.conv_nd(2, garment_channels, self.model_channels, 3, padding=1, **place)
        self.layers = 0
        for module in self.modules():
            if isinstance(module, attention.BasicTransformerBlock):
                module.attn1.__class__ = GarmentAttention
                module.attn1.garment_layer = self.layers
                module.attn2, module.norm2 = _NoTextAttention(), nn.Identity()
                self.layers += 1

    def _forward(
        self, x, timesteps=None, context=None, y=None, control=None, transformer_options=None, garments=None, **kwargs
    ):
        transformer_options = {} if transformer_options is None else transformer_options
        if garments:
            transformer_options = {**transformer_options, GARMENTS: garments}
        return super()._forward(x, timesteps, context, y, control, transformer_options, **kwargs)

    def reference_blocks(self) -> int:
        """How often `reference_pass` calls `on_block`."""
        return len(self.input_blocks) + 1 + len(self.output_blocks)

    def reference_pass(
        self,
        latent: torch.Tensor,
        classes: torch.Tensor,
        *,
        on_block: Callable[[], None] | None = None,
        to_end: bool = False,
    ) -> tuple[tuple[LayerKV, ...], torch.Tensor | None]:
        """K,V of every self-attention for garments that see only themselves.

        latent [B, channels, h, w] in the model's own scale and the compute dtype; classes long [B]. Returns K,V per
        layer, each [B, tokens, channels], and with `to_end` the network's output, which nothing uses but a comparison.
        Checks for Cancel before every block.
        """
        recorder = _Recorder(self.layers, stop=not to_end)
        try:
            out = self._reference_pass(latent, classes, {RECORD: recorder}, on_block or (lambda: None))
        except _Recorded:
            out = None
        return tuple(recorder.kv), out

    def _reference_pass(self, latent, classes, options, on_block):
        def through(block, h, output_shape=None):
            comfy.model_management.throw_exception_if_processing_interrupted()
            on_block()
            return forward_timestep_embed(block, h, emb, None, options, output_shape)

        # No sinusoid, no time MLP: the class alone.
        emb = self.class_embedding(classes, out_dtype=latent.dtype).to(latent.dtype)
        on_block()
        h = self.condition_conv_in(latent)
        skips = [h]
        for i, block in enumerate(self.input_blocks):
            if i:
                options["block"] = ("input", i)
                h = through(block, h)
                skips.append(h)
        options["block"] = ("middle", 0)
        h = through(self.middle_block, h)
        for i, block in enumerate(self.output_blocks):
            options["block"] = ("output", i)
            h = torch.cat([h, skips.pop()], 1)
            h = through(block, h, skips[-1].shape if skips else None)
        return self.out(h)


class FastFitConfig(comfy.supported_models_base.BASE):
    """What the host wants to know of a model before it is built. The names in `unet_config` are read by LoRA and
    FreeU.
    """

    unet_extra_config: ClassVar = {}
    memory_usage_factor = 1.0
    host_betas: ClassVar = {"scaled_linear": "linear", "linear": "sqrt_linear"}

    def __init__(
        self, architecture: Architecture, schedule: NoiseSchedule, latent_format: comfy.latent_formats.LatentFormat
    ):
        a = architecture
        self.schedule = schedule
        self.latent_format = lambda: latent_format  # the base class makes an instance of whatever stands here
        self.sampling_settings = {
            "beta_schedule": self.host_betas.get(schedule.beta_schedule, "linear"),
            "linear_start": schedule.beta_start,
            "linear_end": schedule.beta_end,
            "timesteps": schedule.num_train_timesteps,
            "zsnr": schedule.zsnr,
        }
        super().__init__(
            {
                "image_size": 32,
                "in_channels": a.in_channels,
                "out_channels": a.out_channels,
                "model_channels": a.widths[0],
                "channel_mult": [width // a.widths[0] for width in a.widths],
                "num_res_blocks": [a.layers] * len(a.widths),
                "transformer_depth": [depth for depth in a.depths for _ in range(a.layers)],
                "transformer_depth_output": [depth for depth in a.depths for _ in range(a.layers + 1)],
                "transformer_depth_middle": a.middle_depth,
                "num_heads": -1 if a.head_dim else a.heads,
                "num_head_channels": a.head_dim or -1,
                "use_spatial_transformer": True,
                "use_linear_in_transformer": a.linear_projection,
                "context_dim": 1,  # never used, but None is refused by the host's transformer
                "adm_in_channels": None,
                "legacy": False,
                "classes": a.classes,
                "garment_channels": a.latent_channels,
            }
        )

    def names(self) -> dict[str, str]:
        """diffusers' tensor names to the host's; the two layers that only FastFit has keep theirs."""
        names = comfy.utils.unet_to_diffusers(self.unet_config)
        used = {name: host for name, host in names.items() if ".attn2." not in host and ".norm2." not in host}
        return used | {
            name: name for name in ("class_embedding.weight", "condition_conv_in.weight", "condition_conv_in.bias")
        }

    def process_unet_state_dict(self, state_dict: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        names = self.names()
        return {names.get(key, key): value for key, value in state_dict.items()}

    def process_unet_state_dict_for_saving(self, state_dict: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        names = {host: name for name, host in self.names().items()}
        return super().process_unet_state_dict_for_saving(
            {names.get(key, key): value for key, value in state_dict.items()}
        )

    def get_model(
        self, state_dict: dict[str, torch.Tensor], prefix: str = "", device: torch.device | None = None
    ) -> FastFitModel:
        return FastFitModel(self, device=device)


class FastFitModel(comfy.model_base.BaseModel):
    """The host's BaseModel around a GarmentUNet. Garments come with the conditioning, see `garment_conditioning.py`."""

    def __init__(self, model_config: FastFitConfig, device=None):
        kinds = {"epsilon": comfy.model_base.ModelType.EPS, "v": comfy.model_base.ModelType.V_PREDICTION}
        super().__init__(model_config, kinds[model_config.schedule.prediction], device=device, unet_model=GarmentUNet)
        self.model_sampling.set_sigmas(model_config.schedule.sigmas())
        self.memory_usage_factor_conds = ("garments",)
        self.set_inpaint()
        if self.latent_format.latent_channels != 4:  # the host's blank picture is Stable Diffusion's
            self.blank_inpaint_image_like = torch.zeros_like

    def compute_dtype(self) -> torch.dtype:
        newer = getattr(self, "get_dtype_inference", None)
        return newer() if newer else self.manual_cast_dtype or self.get_dtype()

    @torch.no_grad()
    def reference_kv(
        self,
        latent: torch.Tensor,
        category: int,
        device: torch.device,
        *,
        home: torch.device | None = None,
        on_block: Callable[[], None] | None = None,
    ) -> tuple[LayerKV, ...]:
        """The reference pass over one garment with whatever weights are loaded now, in the compute dtype.

        latent [1, channels, h, w], unscaled. Returns K,V per layer, each [1, tokens, channels], on `home`: the host's
        intermediate device unless given.
        """
        scaled = self.process_latent_in(latent.to(device)).to(self.compute_dtype())
        classes = torch.full((1,), category, dtype=torch.long, device=device)
        kv, _ = self.diffusion_model.reference_pass(scaled, classes, on_block=on_block)
        home = home or comfy.model_management.intermediate_device()
        return tuple((k.to(home), v.to(home)) for k, v in kv)

    def concat_cond(self, **kwargs: Any) -> torch.Tensor | None:
        """People of a longer batch come round again, as their outfits and Composite's pictures do; the host would
        stretch.
        """
        for name in ("concat_latent_image", "concat_mask"):
            if kwargs.get(name) is not None:
                kwargs[name] = comfy.utils.repeat_to_batch_size(kwargs[name], kwargs["noise"].shape[0])
        return super().concat_cond(**kwargs)

    def extra_conds_shapes(self, **kwargs: Any) -> dict[str, list[int]]:
        refs = kwargs.get(CONDITIONING_KEY)
        shapes = super().extra_conds_shapes(**kwargs)
        return shapes if refs is None else {**shapes, "garments": [1, 1, most_tokens(refs)]}

    def extra_conds(self, **kwargs: Any) -> dict[str, Any]:
        out = super().extra_conds(**kwargs)
        refs = kwargs.get(CONDITIONING_KEY)
        if refs is not None and refs.outfits:
            out["garments"] = garments_of_a_run(refs, self.latent_format)
        return out

    def _apply_model(self, x, t, *args, garments=None, **kwargs):
        if garments is not None:
            kwargs["garments"] = garments.rows_for(self, x.device)
        return super()._apply_model(x, t, *args, **kwargs)
