"""What install.py installs, and how: the data packages of the tests' own set-up, without their requirements."""

import subprocess
from pathlib import Path

import pytest
from atelier import install

REQUIREMENTS = Path(__file__).resolve().parents[2] / "dev" / "setup" / "requirements"


def pins(name):
    return {line for line in (REQUIREMENTS / name).read_text().split("\n") if line and not line.startswith("#")}


def test_it_brings_what_the_tests_are_run_with():
    assert set(install.DATA) == pins("data.txt")
    assert set(install.RUNTIME) <= pins("pack.txt")


@pytest.mark.parametrize("fails", [False, True])
def test_only_what_is_missing_is_installed(monkeypatch, capsys, fails):
    calls = []

    def run(command):
        calls.append(command)
        return subprocess.CompletedProcess(command, int(fails))

    monkeypatch.setattr(install.subprocess, "run", run)
    monkeypatch.setattr(install, "RUNTIME", ("numpy==0.0.1", "no-such-package-a==1"))
    monkeypatch.setattr(install, "DATA", ("no-such-package-b==2",))
    assert install.main() == 0
    assert [c[-1] for c in calls] == ["no-such-package-a==1", "no-such-package-b==2"]
    assert ["--no-deps" in c for c in calls] == [False, True]
    assert ("no-such-package-b==2 could not be installed" in capsys.readouterr().out) == fails
