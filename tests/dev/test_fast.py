"""`python dev.py test --fast`: what it leaves out, and that nothing is lost without it."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parents[2]


def collected(*options):
    """(names of the tests that would run, what pytest prints)."""
    command = [sys.executable, str(ROOT / "dev.py"), "test", "--collect-only", "-q", "-p", "no:cacheprovider", *options]
    done = subprocess.run(command, capture_output=True, text=True)
    return {line for line in done.stdout.splitlines() if "::" in line}, done.stdout + done.stderr


@pytest.fixture(scope="module")
def whole():
    return collected()[0]


@pytest.fixture(scope="module")
def fast():
    return collected("--fast")


def test_fast_is_a_part_of_the_whole_and_says_what_it_leaves_out(whole, fast):
    chosen, text = fast
    assert chosen < whole
    assert f"--fast left out {len(whole - chosen)} tests; `python dev.py test` runs them too." in text


def test_every_layer_without_the_host_has_fast_tests(fast):
    for folder in ("craft", "croquis", "models", "doors"):
        assert any(name.startswith(f"tests/{folder}/") for name in fast[0]), folder
    assert any(name.startswith("tests/test_arrows.py::test_arrows") for name in fast[0])


def test_no_slow_folder_has_gone(pytestconfig):
    """A folder that is renamed would come back into the fast tests unseen."""
    assert all((ROOT / "tests" / folder).is_dir() for folder in conftest_of(pytestconfig).SLOW_FOLDERS)


@pytest.mark.parametrize(
    "path, fixtures, marker, fast",
    [
        ("craft/test_a.py", [], None, True),
        ("test_a.py", ["host"], None, True),
        ("craft/test_a.py", [], "slow", False),
        ("test_a.py", ["server"], None, False),
        ("dev/train/test_a.py", [], None, False),
        ("nodes/test_a.py", [], None, False),
    ],
)
def test_folder_fixture_and_marker_decide(pytestconfig, path, fixtures, marker, fast):
    item = SimpleNamespace(
        path=ROOT / "tests" / path, fixturenames=fixtures, get_closest_marker=lambda name: name == marker
    )
    assert conftest_of(pytestconfig).is_fast(item) is fast


def test_fast_and_all_exclude_each_other():
    names, text = collected("--fast", "--all")
    assert not names and "--all and --fast exclude each other" in text


def conftest_of(config):
    return next(
        plugin
        for plugin in config.pluginmanager.get_plugins()
        if getattr(plugin, "__file__", None) == str(ROOT / "tests" / "conftest.py")
    )
