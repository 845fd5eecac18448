"""A ComfyUI host as a process of our own: start it with the pack, talk to it over HTTP, stop it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from ..client import Client

START_LIMIT = 240.0


class HostProcess:
    """Context manager. `base` takes the place of the host's models/, input/, output/, temp/ and user/ folders.

    The pack is reachable as `custom_nodes/atelier` below `base` (a link; a copy where links are not allowed).
    """

    def __init__(self, host: Path, pack: Path, base: Path, python: str | None = None, cpu: bool = True, flags=()):
        self.host, self.pack, self.base = Path(host), Path(pack), Path(base)
        self.python, self.cpu, self.flags = python or sys.executable, cpu, list(flags)
        self.log_path = self.base / "host.log"
        self.process: subprocess.Popen | None = None
        self.client: Client | None = None
        self.url = ""

    def __enter__(self) -> HostProcess:
        self._lay_out()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        command = [
            self.python, str(self.pack / "dev" / "setup" / "launch_host.py"), str(self.host),
            "--listen", "127.0.0.1", "--port", str(port), "--base-directory", str(self.base),
            "--disable-api-nodes", "--database-url", "sqlite:///:memory:", "--preview-method", "latent2rgb",
            "--disable-all-custom-nodes", "--whitelist-custom-nodes", "atelier",
            *(["--cpu"] if self.cpu else []), *self.flags,
        ]  # fmt: skip
        environment = {**os.environ, "PYTHONUNBUFFERED": "1", "HF_HUB_OFFLINE": "1"}
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment)
        self._wait_until_it_answers()
        self.client = Client(self.url)
        return self

    def __exit__(self, *_) -> None:
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def get(self, path: str):
        with urllib.request.urlopen(self.url + path, timeout=60) as answer:
            return json.load(answer)

    def _lay_out(self) -> None:
        for folder in ("custom_nodes", "models", "input", "output", "temp", "user"):
            (self.base / folder).mkdir(parents=True, exist_ok=True)
        link = self.base / "custom_nodes" / "atelier"
        if link.is_symlink() or link.exists():
            return
        try:
            link.symlink_to(self.pack, target_is_directory=True)
        except OSError:  # Windows without the right to make links
            leave = shutil.ignore_patterns(".venv", ".host", ".git", "output", "runs", "__pycache__")
            shutil.copytree(self.pack, link, ignore=leave)

    def _wait_until_it_answers(self) -> None:
        started = time.monotonic()
        while time.monotonic() - started < START_LIMIT:
            if self.process.poll() is not None:
                raise RuntimeError(f"the host stopped while starting:\n{self.log()[-2000:]}")
            try:
                self.get("/system_stats")
                return
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                time.sleep(0.3)
        self.__exit__()
        raise RuntimeError(f"the host did not answer within {START_LIMIT:.0f} s:\n{self.log()[-2000:]}")
