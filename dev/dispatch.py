"""The commands behind dev.py, run inside .venv. One table: command -> (module, what it does)."""

from __future__ import annotations

import argparse
import importlib
import sys

PARITY = ("fastfit", "hierafashdiff", "equifashion", "unifashion")
BENCH = (
    "tryon-speed",
    "tryon-quality",
    "tryon-several",
    "body",
    "photos",
    "wardrobe",
    "search",
    "design-quality",
    "reference-level",
)


def main(argv: list[str]) -> int:
    command, rest = argv[0], argv[1:]
    if command == "demo":
        from .demo import demo

        return demo.run(rest)
    if command == "test":
        from . import run_tests

        return run_tests.run(rest)
    if command == "check":
        from . import check

        return check.run(rest)
    if command == "parity":
        parser = argparse.ArgumentParser(
            prog="dev.py parity", description="Replay recorded outputs of an original system."
        )
        parser.add_argument("name", choices=PARITY)
        parser.add_argument("folder", help="a folder of recorded outputs")
        parser.add_argument("--json", dest="json_path", help="also write the figures here")
        options = parser.parse_args(rest)
        return _module("parity", options.name).run(options.folder, options.json_path)
    if command == "bench":
        parser = argparse.ArgumentParser(prog="dev.py bench", description="Measure, print a table.")
        parser.add_argument("name", choices=BENCH)
        parser.add_argument("--json", dest="json_path", help="also write the figures here")
        own = [word for word in rest if word not in ("-h", "--help")]
        if not set(BENCH) & set(own):  # help on a figure is the figure's own
            own = rest
        options, others = parser.parse_known_args(own)
        others += ["--help"] * (len(rest) - len(own))
        return _module("bench", options.name).run(others, options.json_path)
    if command == "train":
        from .train import recipes as train

        return train.run(rest)
    if command == "convert":
        from . import convert

        return convert.run(rest)
    if command == "workflows":
        return _lay_out_workflows()
    if command in ("thumbnails", "screenshots"):
        module = {"thumbnails": "publish.template_thumbnails", "screenshots": "publish.editor_screenshots"}[command]
        return importlib.import_module(f".{module}", __package__).run(rest)
    print(f"unknown command {command!r}", file=sys.stderr)
    return 2


def _lay_out_workflows() -> int:
    import tempfile
    from pathlib import Path

    from .publish.workflow_files import ROOT, write_all
    from .setup.host_files import find_host
    from .setup.host_process import HostProcess

    with tempfile.TemporaryDirectory() as base, HostProcess(find_host(ROOT), ROOT, Path(base)) as process:
        for path in write_all(process.get("/object_info")):
            print(path.relative_to(ROOT))
    return 0


def _module(kind: str, name: str):
    return importlib.import_module(f".{kind}.{kind}_{name.replace('-', '_')}", __package__)
