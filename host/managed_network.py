"""Networks under the host's memory management: loaded, offloaded and freed as the host decides."""

from __future__ import annotations

import comfy.model_management
import comfy.model_patcher
import torch


def patcher_class() -> type[comfy.model_patcher.ModelPatcher]:
    """The class that the host wraps networks in. The host exchanges it while it starts: ask each time, never keep
    it.
    """
    return getattr(comfy.model_patcher, "CoreModelPatcher", comfy.model_patcher.ModelPatcher)


class ManagedNetwork:
    """A plain torch module under the host's memory management.

    dtype: what the module is in already; it is left as it is (transformers keeps some of its tensors at float32).
    Without it the module becomes float16 where the device has that.
    """

    def __init__(self, module: torch.nn.Module, dtype: torch.dtype | None = None):
        management = comfy.model_management
        device = management.text_encoder_device()
        self.dtype = dtype or (torch.float16 if management.should_use_fp16(device) else torch.float32)
        if dtype is None:
            module = module.to(self.dtype)
        # The patcher writes attributes (`device`) that transformers' models define as read-only: hold them in a shell.
        module = torch.nn.ModuleList([module.eval().requires_grad_(False)])
        self.patcher = patcher_class()(
            module, load_device=device, offload_device=management.text_encoder_offload_device()
        )

    def ready(self) -> tuple[torch.nn.Module, torch.device]:
        """The module on its device, made room for; ask each time, never keep it."""
        comfy.model_management.load_model_gpu(self.patcher)
        return self.patcher.model[0], self.patcher.load_device
