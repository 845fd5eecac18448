"""`python dev.py demo`: the shipped workflows through a real host, pictures and a contact sheet to output/.

Several hosts share the work: `--host URL --host URL`. Without one, a host is started here and stopped at the end.
"""

from __future__ import annotations

import argparse
import contextlib
import queue
import sys
import tempfile
import threading
import time
from pathlib import Path

from ...craft.whole_files import write_bytes
from ..client import Client, GraphRefused
from ..pack import ROOT
from ..setup.host_files import find_host, host_version
from .job import Job


class Line:
    """One live line on a terminal; plain lines elsewhere."""

    def __init__(self):
        self.live, self.lock = sys.stdout.isatty(), threading.Lock()

    def show(self, text: str) -> None:
        if self.live:
            with self.lock:
                print("\r\033[K" + text[:110], end="", flush=True)

    def keep(self, text: str) -> None:
        with self.lock:
            print(("\r\033[K" if self.live else "") + text, flush=True)


def run_jobs(jobs: list[Job], clients: list[Client], output: Path, line: Line) -> None:
    """Spread the jobs over the hosts; each job's pictures land in `output`. Raises the first failure."""
    waiting: queue.Queue = queue.Queue()
    for number, job in enumerate(jobs):
        waiting.put((number, job))
    failures: list[Exception] = []

    def work(client: Client) -> None:
        while not failures:
            try:
                number, job = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                _run_one(job, number, len(jobs), client, output, line)
            except Exception as error:
                failures.append(error)

    threads = [threading.Thread(target=work, args=(client,), daemon=True) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def _run_one(job: Job, number: int, total: int, client: Client, output: Path, line: Line) -> None:
    started = time.monotonic()
    titles = {key: (entry.get("_meta") or {}).get("title") or entry["class_type"] for key, entry in job.graph.items()}
    where = {"node": "queued"}

    def follow(event: str, data: dict) -> None:
        if event == "executing" and data.get("node"):
            where["node"] = titles.get(data.get("display_node") or data["node"], data["node"])
        step = f" {data['value']}/{data['max']}" if event == "progress" else ""
        line.show(f"[{number + 1}/{total}] {job.name} {job.label}: {where['node']}{step}")

    result = client.run(job.graph, follow)
    job.seconds, job.outputs = time.monotonic() - started, result.outputs
    for key, ui in result.outputs.items():
        for index, picture in enumerate(ui.get("images", [])):
            if picture.get("type") != "output":
                continue
            target = output / f"{job.name}_{number + 1:02d}_{titles[key]}_{index + 1}.png".replace(" ", "_").lower()
            write_bytes(target, client.fetch(picture))
            job.pictures.append(target)
    line.keep(f"[{number + 1}/{total}] {job.name} {job.label}: {job.seconds:.1f} s, {len(job.pictures)} pictures")


def run(args: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="dev.py demo", description="Run the shipped workflows and make contact sheets."
    )
    parser.add_argument(
        "--host", action="append", default=[], metavar="URL", help="a running ComfyUI with this pack; repeatable"
    )
    parser.add_argument("--output", default=str(ROOT / "output"), metavar="DIR")
    parser.add_argument(
        "--only", action="append", default=[], metavar="NAME", help="only this part of the demo; repeatable"
    )
    options = parser.parse_args(args)
    from . import demo_parts

    output = Path(options.output)
    output.mkdir(parents=True, exist_ok=True)
    line = Line()
    parts = [part for part in demo_parts.PARTS if not options.only or part.name in options.only]
    if not parts:
        names = ", ".join(part.name for part in demo_parts.PARTS)
        print(f"no part of the demo is called {options.only}; there are: {names}", file=sys.stderr)
        return 2
    started = time.monotonic()
    try:
        with _hosts(options.host, line) as clients:
            for part in parts:
                jobs = part.jobs()
                run_jobs(jobs, clients, output, line)
                for sheet in part.sheets(jobs, output):
                    line.keep(f"sheet: {sheet}")
    except (GraphRefused, RuntimeError) as problem:
        line.keep(f"The demo stopped: {problem}")
        return 1
    line.keep(f"Done in {time.monotonic() - started:.0f} s. Everything is in {output}")
    return 0


@contextlib.contextmanager
def _hosts(urls: list[str], line: Line):
    if urls:
        yield [Client(url) for url in urls]
        return
    import torch

    from ..setup.host_process import HostProcess

    host = find_host(ROOT)
    line.keep(f"ComfyUI {host_version(host)} in {host}")
    with tempfile.TemporaryDirectory(prefix="atelier-demo-") as base:
        line.show("starting the host")
        gpu = torch.cuda.is_available() or torch.backends.mps.is_available()
        with HostProcess(host, ROOT, Path(base), cpu=not gpu) as process:
            yield [process.client]
