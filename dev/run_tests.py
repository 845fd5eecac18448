"""`python dev.py test`: pytest on the real host. Arguments are passed on to pytest."""

from __future__ import annotations

import os

from .pack import ROOT
from .setup.browser import find_browser


def run(args: list[str]) -> int:
    import pytest

    if "--all" in args and find_browser():
        from .setup.frontends import fetch_newest

        fetch_newest(ROOT)
    os.chdir(ROOT)  # paths of tests are given from the project's folder, wherever the command is typed
    code = pytest.main(["--rootdir", str(ROOT), "-c", str(ROOT / "pyproject.toml"), *_with_tests_folder(args)])
    if find_browser() is None:
        print(
            "The browser tests (tests/web) did not run: no Chromium, Chrome or Edge was found. "
            "On Debian and Ubuntu: apt install chromium; elsewhere install Chrome or Edge, or set CHROME_PATH."
        )
    return int(code)


def _with_tests_folder(args: list[str]) -> list[str]:
    named = any(not arg.startswith("-") and (ROOT / arg.split("::")[0]).exists() for arg in args)
    return args if named else [*args, str(ROOT / "tests")]
