"""Atelier's commands: python dev.py demo | test | check | parity NAME DIR | bench NAME | train NAME | convert CKPT

They make what they need (`.venv`, a ComfyUI host in `.host`) the first time; see README.md.
"""

import argparse
import subprocess
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parent
COMMANDS = {
    "demo": "make .venv, find or fetch ComfyUI, run the shipped workflows, write pictures to output/",
    "test": "the same set-up, then every test on the real host (--fast: what is done within a minute; --all: the long"
    " ones too; -k NAME and the like are passed on)",
    "check": "ruff, its format and mypy, as pinned: check [lint|format|types ...]",
    "parity": "replay recorded outputs of an original system through this code: parity NAME DIR [--json PATH]",
    "bench": "measure and print a table: bench NAME [--json PATH]",
    "train": "train a studio network: train NAME",
    "workflows": "lay out workflows/*.json anew from workflows/api/*.json",
    "thumbnails": "pictures of the shipped workflows for the host's list of templates, from real runs: thumbnails"
    " [TITLE ...]",
    "screenshots": "pictures of the part editor in both renderers for docs/",
    "convert": "turn a pickled checkpoint into safetensors without running code from it: convert CKPT [OUT]",
}
WITHOUT_HOST = ("check",)


def parse(argv: list[str]) -> tuple[argparse.Namespace, list[str]]:
    listing = "\n".join(f"  {name:11} {text}" for name, text in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="dev.py", epilog="commands:\n" + listing, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--python", metavar="PATH", help="use this Python as it is (a host's own); nothing is installed"
    )
    parser.add_argument("command", choices=COMMANDS, metavar="command")
    parser.add_argument("rest", nargs=argparse.REMAINDER, help="passed on to the command")
    options = parser.parse_args(argv)
    return options, options.rest


def main(argv: list[str]) -> int:
    options, rest = parse(argv)
    sys.path.insert(0, str(ROOT))
    from dev import pack
    from dev.setup import environment, host_files

    if options.python is None and not environment.inside(ROOT):
        try:
            python = environment.ensure(ROOT)
        except environment.SetupFailed as problem:
            print(problem, file=sys.stderr)
            return 1
        return _again(str(python), [options.command, *rest])
    # A virtual environment's Python is a link to its base: compared by name, never by what the link leads to.
    if options.python and Path(options.python).absolute() != Path(sys.executable).absolute():
        return _again(options.python, ["--python", options.python, options.command, *rest])
    if options.command not in WITHOUT_HOST and not _find_or_fetch(host_files):
        return 1
    pack.register()
    from atelier.dev import dispatch

    return dispatch.main([options.command, *rest])


def _find_or_fetch(host_files: ModuleType) -> bool:
    try:
        host_files.find_host(ROOT)
    except host_files.HostNotFound as problem:
        try:
            if "COMFYUI_PATH is" in str(problem):
                raise
            print("fetching ComfyUI 0.3.75", flush=True)
            host_files.fetch_host(ROOT)
        except host_files.HostNotFound as final:
            print(final, file=sys.stderr)
            return False
    return True


def _again(python: str, arguments: list[str]) -> int:
    try:
        return subprocess.run([python, str(ROOT / "dev.py"), *arguments]).returncode
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
