"""LPIPS (Zhang et al. 2018, version 0.1) from two local files: torchvision's trunk and the published linear heads."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

# Where each kind's compared feature maps end in torchvision's `features`, with their widths.
_STAGES = {
    "alex": ((1, 4, 7, 9, 11), (64, 192, 384, 256, 256)),
    "vgg": ((3, 8, 15, 22, 29), (64, 128, 256, 512, 512)),
    "squeeze": ((1, 4, 7, 9, 10, 11, 12), (64, 128, 256, 384, 384, 512, 512)),
}
KINDS = tuple(_STAGES)
_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)


class Lpips(nn.Module):
    """Pictures [N, 3, H, W] in -1..1, twice -> distances [N]."""

    def __init__(self, kind: str):
        super().__init__()
        import torchvision

        if kind not in _STAGES:
            raise ValueError(f"LPIPS knows the trunks {', '.join(KINDS)}, not {kind!r}.")
        builder = {"alex": "alexnet", "vgg": "vgg16", "squeeze": "squeezenet1_1"}[kind]
        self.ends, widths = _STAGES[kind]
        self.features = getattr(torchvision.models, builder)(weights=None).features
        self.heads = nn.ModuleList(nn.Conv2d(width, 1, 1, bias=False) for width in widths)

    @staticmethod
    def from_files(trunk: str, heads: str, kind: str) -> Lpips:
        """`trunk`: torchvision's state dict, `heads`: LPIPS's linear layers; both .safetensors. Raises ValueError."""
        from safetensors.torch import load_file

        for path in (trunk, heads):
            if not Path(path).is_file() or not path.endswith(".safetensors"):
                raise ValueError(
                    f"LPIPS needs two local .safetensors files, the trunk's and the heads'; {path!r} is none."
                )
        network = Lpips(kind).eval().requires_grad_(False)
        features = {n.removeprefix("features."): t for n, t in load_file(trunk).items() if n.startswith("features.")}
        linear = {n: t for n, t in load_file(heads).items() if n.startswith("lin")}
        try:
            network.features.load_state_dict(features)
            for number, head in enumerate(network.heads):
                assert isinstance(head, nn.Conv2d)
                head.weight.copy_(linear[f"lin{number}.model.1.weight"])
        except (RuntimeError, KeyError) as error:
            raise ValueError(
                f"The LPIPS files do not fit the trunk {kind!r} ({str(error).splitlines()[0]})."
            ) from error
        return network

    def forward(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        total = first.new_zeros(len(first))
        for a, b, head in zip(self._maps(first), self._maps(second), self.heads):
            difference = (_unit(a) - _unit(b)) ** 2
            total = total + head(difference).mean((1, 2, 3))
        return total

    def _maps(self, x: torch.Tensor) -> list[torch.Tensor]:
        x = (x - x.new_tensor(_SHIFT)[:, None, None]) / x.new_tensor(_SCALE)[:, None, None]
        maps = []
        for number, layer in enumerate(self.features):
            x = layer(x)
            if number in self.ends:
                maps.append(x)
        return maps


def _unit(x: torch.Tensor) -> torch.Tensor:
    return x / (x.pow(2).sum(1, keepdim=True).sqrt() + 1e-10)
