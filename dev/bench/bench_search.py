"""`python dev.py bench search`: time and memory of the wardrobe's exact search by size.

The vectors are random directions; an exact search does the same work whatever they are. Sizes as arguments
(`python dev.py bench search 100000 1000000`), 100 000 and one million without.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from pathlib import Path

from ..figures import write_figures

DIM, REPEATS = 768, 9


def run(args: list[str], json_path: str | None = None) -> int:
    """Prints a table; returns 1 when 100 000 vectors take 100 ms or more (median, warm)."""
    import psutil
    import torch

    sizes = [int(arg.replace("_", "")) for arg in args] or [100_000, 1_000_000]
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    figures, code = {"threads": torch.get_num_threads(), "load": load}, 0
    print(f"exact search, {DIM} dims, top 50, {torch.get_num_threads()} threads, load {load:.1f}")
    print(f"{'vectors':>10} {'query':<22} {'median ms':>10} {'min ms':>8} {'max ms':>8} {'first ms':>9} {'map MiB':>8}")
    for size in sizes:
        for name, first, times, mib in measure(size):
            median = statistics.median(times)
            print(
                f"{size:>10} {name:<22} {median:>10.1f} {min(times):>8.1f} {max(times):>8.1f} {first:>9.1f} {mib:>8.0f}"
            )
            figures[f"search_ms_{size}_{name.replace(' ', '_')}"] = median
            if size == 100_000 and name == "text" and median >= 100:
                code = 1
    figures["resident_mib"] = psutil.Process().memory_info().rss / 2**20
    print(f"resident memory at the end {figures['resident_mib']:.0f} MiB")
    write_figures(json_path, figures)
    return code


def measure(size: int):
    """(query name, first ms, warm times in ms, MiB of the map) for each kind of query."""
    import numpy as np
    import torch

    from ...craft.wardrobe import composed_query
    from ...craft.wardrobe.wardrobe_search import VectorMap, search

    generator = torch.Generator().manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "vectors.npy"
        matrix = np.lib.format.open_memmap(file, mode="w+", dtype=np.float16, shape=(size, DIM))
        for start in range(0, size, 16384):
            rows = min(16384, size - start)
            block = torch.nn.functional.normalize(torch.randn(rows, DIM, generator=generator), dim=-1)
            matrix[start : start + rows] = block.half().numpy()
        matrix.flush()
        del matrix
        mapped = torch.from_numpy(np.load(file, mmap_mode="c"))
        vectors = VectorMap(mapped, np.arange(size), torch.zeros(DIM), torch.ones(size), 1)
        picture, text, other = torch.randn(3, DIM, generator=generator)
        mean = torch.zeros(DIM)
        change = composed_query.by_picture_and_change(picture, text, picture_mean=mean, text_mean=mean)
        half = set(range(0, size, 2))
        for name, query, options in (
            ("text", composed_query.by_text(text), {}),
            ("text, not that", composed_query.by_text(text, other), {}),
            ("picture and change", change, {"hide_like": picture[None]}),
            ("text, half allowed", composed_query.by_text(text), {"allowed": half}),
        ):
            times = []
            for _ in range(REPEATS + 1):
                started = time.perf_counter()
                search(vectors, query, 50, **options)
                times.append((time.perf_counter() - started) * 1000)
            yield name, times[0], times[1:], mapped.numel() * 2 / 2**20
        del mapped, vectors
