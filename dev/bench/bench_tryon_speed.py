"""What reusing garments saves: `python dev.py bench tryon-speed [--repeats N] [--json PATH]`.

Operations are counted for the published network at published sizes without running it (meta device). Times are
measured on a narrow network in this process, alternating between the ways, and stand beside that network's own
counts.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from ..figures import write_figures
from ..pack import ROOT

GARMENT_SIZES = {"384x512": (64, 48), "768x1024": (128, 96)}  # width x height in pixels: latent (height, width)
PERSON = (128, 96)
STEPS = (4, 20, 50)
BARS = {"384x512": 0.63, "768x1024": 0.38}  # step with cached garments / step that computes five garments again
MEMORY_BAR = 0.05
NARROW = (64, 128, 256, 256)


@dataclass
class Network:
    """A try-on UNet and the host's stock UNet of the same layout, at `rows` rows, on one device and dtype."""

    unet: torch.nn.Module
    stock: torch.nn.Module
    person: tuple[int, int]
    rows: int = 2  # guided sampling: conditional and unconditional

    def tensor(self, *shape: int) -> torch.Tensor:
        parameter = next(self.unet.parameters())
        return torch.zeros(shape, device=parameter.device, dtype=parameter.dtype)

    def garments(self, size: tuple[int, int], rows: int = 1):
        """K,V of one garment."""
        labels = torch.zeros(rows, dtype=torch.long, device=next(self.unet.parameters()).device)
        return self.unet.reference_pass(self.tensor(rows, 4, *size), labels)[0]

    def step(self, kv: list | None = None, options: dict | None = None) -> torch.Tensor:
        from ...host.tryon.encoded_garment import Rows

        rows = tuple(Rows(1, tuple(kv)) for _ in range(self.rows)) if kv else None
        x = self.tensor(self.rows, 9, *self.person)
        return self.unet(
            x, torch.full((self.rows,), 500.0, device=x.device), garments=rows, transformer_options=dict(options or {})
        )

    def stock_step(self, kv: list, options: dict | None = None) -> torch.Tensor:
        """The same tokens through the host's own UNet by the host's own patches: K,V joined in front, layer by
        layer.
        """
        import comfy.ldm.modules.attention as attention

        def attend(q, k, v, extra_options, layer: int):
            k, v = (
                torch.cat([*(part[layer][which].expand(len(q), -1, -1) for part in kv), own], 1)
                for which, own in enumerate((k, v))
            )
            return attention.optimized_attention(q, k, v, extra_options["n_heads"], transformer_options=extra_options)

        patches = {place: partial(attend, layer=layer) for layer, place in enumerate(_places(self.stock))} if kv else {}
        x = self.tensor(self.rows, 9, *self.person)
        options = {**(options or {}), "patches_replace": {"attn1": patches}}
        return self.stock(
            x, torch.full((self.rows,), 500.0, device=x.device), context=None, transformer_options=options
        )


def _places(unet) -> list[tuple[str, int]]:
    """The host's names of the blocks with attention, in the order in which the network meets them."""
    import comfy.ldm.modules.attention as attention

    parts = [("input", unet.input_blocks), ("middle", [unet.middle_block]), ("output", unet.output_blocks)]
    return [
        (name, i)
        for name, blocks in parts
        for i, block in enumerate(blocks)
        if any(isinstance(m, attention.SpatialTransformer) for m in block)
    ]


def build(widths: tuple[int, ...], person: tuple[int, int], device: str, dtype: torch.dtype) -> Network:
    import comfy.latent_formats
    import comfy.ops
    from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel

    from ...host.tryon.fastfit_model import FastFitConfig
    from ...models.fastfit.keys import Architecture
    from ...models.fastfit.noise_schedule import NoiseSchedule

    config = FastFitConfig(
        Architecture(widths, 2, (1, 1, 1, 0), 1, 9, 4, 4, 5, False), NoiseSchedule(), comfy.latent_formats.SD15()
    )
    config.set_inference_dtype(dtype, None)
    unet = config.get_model({}, device=device).diffusion_model
    layout = {name: value for name, value in config.unet_config.items() if name not in ("classes", "garment_channels")}
    stock = UNetModel(**layout, device=device, operations=comfy.ops.disable_weight_init).eval()
    for (
        module
    ) in stock.modules():  # FastFit has no text attention: left out on both sides, so that only K,V are compared
        if hasattr(module, "attn2"):
            module.attn2, module.norm2 = _Zeros(), torch.nn.Identity()
    generator = torch.Generator().manual_seed(0)
    for parameter in (*unet.parameters(), *stock.parameters()) if device != "meta" else ():
        parameter.data.copy_(torch.randn(parameter.shape, generator=generator) * 0.02)
    return Network(unet, stock, person)


class _Zeros(torch.nn.Module):
    def forward(self, x, *args, **kwargs):
        return torch.zeros_like(x)


def operations(work: Callable[[], object]) -> int:
    """Multiply-adds counted as two, as torch's own counter does."""
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


class PeakMemory(TorchDispatchMode):
    """The most bytes that were alive at once of what a piece of work made itself."""

    def __init__(self):
        super().__init__()
        self.alive: dict[StorageWeakRef, int] = {}
        self.peak = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        before = {t.untyped_storage()._cdata for t in args if isinstance(t, torch.Tensor)}
        out = function(*args, **(kwargs or {}))
        self.alive = {ref: size for ref, size in self.alive.items() if not ref.expired()}
        known = {ref.cdata for ref in self.alive}
        for tensor in out if isinstance(out, (tuple, list)) else (out,):
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                if storage._cdata not in known | before:
                    self.alive[StorageWeakRef(storage)] = storage.nbytes()
        self.peak = max(self.peak, sum(self.alive.values()))
        return out


def peak_memory(work: Callable[[], object]) -> int:
    with PeakMemory() as memory:
        result = work()
    del result
    return memory.peak


def count(figures: dict[str, float]) -> bool:
    """The published network at published sizes. Returns whether all bars hold."""
    network = build((320, 640, 1280, 1280), PERSON, "meta", torch.bfloat16)
    bare, good = operations(network.step), True
    print(
        f"published network, person 768x1024, two rows (guidance on): a step without garments {bare / 1e12:.2f} TFLOP"
    )
    print(
        f"{'garments':>14} {'passes':>7} {'step':>7} {'again':>7} {'ratio':>6} {'bar':>5}  "
        + "  ".join(f"run of {s}: cached / again" for s in STEPS)
    )
    for name, size in GARMENT_SIZES.items():
        kv, one = network.garments(size), operations(partial(network.garments, size, network.rows))
        for number in range(1, 6):
            step = operations(partial(network.step, [kv] * number))
            again, ratio = step + number * one, step / (step + number * one)
            runs = {steps: (number * one + steps * step, steps * again) for steps in STEPS}
            bar = BARS[name] if number == 5 else None
            good &= bar is None or ratio <= bar
            key = f"{name}.{number}"
            figures |= {
                f"ops.passes.{key}": number * one,
                f"ops.step.{key}": step,
                f"ops.step_again.{key}": again,
                f"ops.ratio.{key}": ratio,
            }
            figures |= {f"ops.run_gain.{key}.{steps}": b / a for steps, (a, b) in runs.items()}
            print(
                f"{number} x {name:>8} {number * one / 1e12:7.2f} {step / 1e12:7.2f} {again / 1e12:7.2f} "
                f"{ratio:6.3f} {bar or '':>5}  "
                + "  ".join(f"{a / 1e12:7.0f} / {b / 1e12:5.0f} = {b / a:4.2f}x" for a, b in runs.values())
            )
    return good & _beside_stock(network, figures)


def _beside_stock(network: Network, figures: dict[str, float]) -> bool:
    """Operations and memory of a step against the host's stock UNet with as many extra tokens."""

    def unfused(function, q, *args, **kwargs):  # a fused attention's memory: its output alone
        return torch.empty_like(q)

    options, good = {"optimized_attention_override": unfused}, True
    print("\nour step / the host's stock UNet step with as many extra tokens (text attention left out of both)")
    for name, size in GARMENT_SIZES.items():
        kv = network.garments(size)
        for number in (1, 5):
            worn = [kv] * number
            ours, stock = operations(partial(network.step, worn)), operations(partial(network.stock_step, worn))
            ours_peak, stock_peak = (
                peak_memory(partial(step, worn, options)) for step in (network.step, network.stock_step)
            )
            held = network.rows * number * sum(t.numel() * t.element_size() for pair in kv for t in pair)
            above = (ours_peak - stock_peak) / stock_peak
            good &= ours == stock and above <= MEMORY_BAR
            figures |= {f"ops.over_stock.{name}.{number}": ours / stock, f"memory.kv_mib.{name}.{number}": held / 2**20}
            figures |= {
                f"memory.step_mib.{name}.{number}": ours_peak / 2**20,
                f"memory.above_stock.{name}.{number}": above,
            }
            print(
                f"{number} x {name:>8}  operations {ours / stock:.6f}   K,V held {held / 2**20:6.0f} MiB   "
                f"the step's own peak {ours_peak / 2**20:6.0f} MiB, {above:+.1%} of stock's (bar +{MEMORY_BAR:.0%})"
            )
    return good


def measure(figures: dict[str, float], repeats: int) -> None:
    """Times on a narrow network, ways alternating, medians with the quartiles' distance."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    print(
        f"\nmeasured on {device}, widths {NARROW}, person and garments at a quarter of the published sides, "
        f"{repeats} repeats, alternating"
    )
    person = tuple(side // 4 for side in PERSON)
    network = build(NARROW, person, device, torch.float32)
    counted_on = build(NARROW, person, "meta", torch.float32)  # the counter does not know the CPU's fused attention
    print(
        f"{'garments':>14} {'step ms':>14} {'again ms':>14} {'ratio':>6} {'counted':>8} {'stock ms':>14} "
        f"{'ours/stock':>10}"
    )
    for name, size in GARMENT_SIZES.items():
        small = tuple(side // 4 for side in size)
        kv, one = network.garments(small), operations(partial(counted_on.garments, small, network.rows))
        for number in range(1, 6):
            worn = [kv] * number

            def again(small=small, number=number, worn=worn):
                for _ in range(number):
                    network.garments(small, network.rows)
                return network.step(worn)

            ways = {"step": partial(network.step, worn), "again": again, "stock": partial(network.stock_step, worn)}
            times = _alternating(ways, repeats, device)
            middle = {way: statistics.median(t) for way, t in times.items()}
            spread = {
                way: statistics.quantiles(t, n=4)[2] - statistics.quantiles(t, n=4)[0] for way, t in times.items()
            }
            step = operations(partial(counted_on.step, [counted_on.garments(small)] * number))
            counted = step / (step + number * one)
            key = f"{name}.{number}"
            figures |= {f"measured.{way}_ms.{key}": middle[way] * 1e3 for way in ways} | {
                f"measured.spread_{way}_ms.{key}": spread[way] * 1e3 for way in ways
            }
            figures |= {f"measured.ratio.{key}": middle["step"] / middle["again"], f"measured.counted.{key}": counted}
            figures |= {f"measured.over_stock.{key}": middle["step"] / middle["stock"]}
            shown = {way: f"{middle[way] * 1e3:7.1f} ±{spread[way] * 500:4.1f}" for way in ways}
            print(
                f"{number} x {name:>8} {shown['step']:>14} {shown['again']:>14} "
                f"{middle['step'] / middle['again']:6.3f} {counted:8.3f} "
                f"{shown['stock']:>14} {middle['step'] / middle['stock']:10.3f}"
            )


def _alternating(ways: dict[str, Callable], repeats: int, device: str) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {way: [] for way in ways}
    for turn in range(repeats + 1):
        for way, work in ways.items():
            _wait(device)
            start = time.perf_counter()
            work()
            _wait(device)
            if turn:  # the first turn warms up
                times[way].append(time.perf_counter() - start)
    return times


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def run(args: list[str], json_path: str | None = None) -> int:
    """Print the tables; returns 1 when a counted bar is missed. Times never decide."""
    from ..setup.host_files import find_host
    from ..setup.host_in_process import enter

    parser = argparse.ArgumentParser(prog="dev.py bench tryon-speed")
    parser.add_argument("--repeats", type=int, default=5, help="0 leaves the measurement out")
    options = parser.parse_args(args)
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as base, torch.no_grad():
        enter(find_host(ROOT), Path(base))
        good = count(figures)
        if options.repeats:
            measure(figures, options.repeats)
    print("\nall counted bars hold" if good else "\na counted bar is missed")
    write_figures(json_path, figures)
    return 0 if good else 1
