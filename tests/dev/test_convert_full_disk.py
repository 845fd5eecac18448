"""Converting a checkpoint onto a full disk, or under a limit on files: one sentence, and nothing left behind."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
CHILD = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("pack_alias", sys.argv[1] + "/dev/pack.py")
module = importlib.util.module_from_spec(spec); spec.loader.exec_module(module); module.register()
from atelier.dev import convert
if len(sys.argv) > 4:
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[4]),) * 2)
code = convert.run([sys.argv[2], sys.argv[3]])
from pathlib import Path
print("exit", code, sorted(file.name for file in Path(sys.argv[3]).parent.iterdir()))
"""


def small_disk(folder):
    if not shutil.which("unshare"):
        pytest.skip("there is no unshare to give a process a disk of its own")
    script = 'mount -t tmpfs -o size=256k none "$0" || exit 77; exec "$@"'
    start = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, str(folder)]
    if subprocess.run([*start, "true"], capture_output=True).returncode:
        pytest.skip("this user may not mount a small disk in a name space of its own")
    return start


@pytest.mark.parametrize("case", ["a small disk", "a limit on files"])
def test_a_checkpoint_that_does_not_fit(tmp_path, case):
    source, disk = tmp_path / "a.ckpt", tmp_path / "disk"
    torch.save({"state_dict": {"weight": torch.zeros(2**18)}}, source)
    disk.mkdir()
    if case == "a small disk":
        start, limit = small_disk(disk), []
    else:
        pytest.importorskip("resource", reason="this system has no limit on the size of files")
        start, limit = [], ["200000"]
    target = disk / "a.safetensors"
    command = [*start, sys.executable, "-c", CHILD, str(ROOT), str(source), str(target), *limit]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"exit {done.returncode}\n{done.stderr[-2000:]}"
    assert done.stdout.strip() == "exit 1 []", "no draft stays"
    assert f"a.safetensors cannot be written into {disk}" in done.stderr and "Traceback" not in done.stderr


def test_control_a_checkpoint_that_fits(tmp_path):
    torch.save({"state_dict": {"weight": torch.zeros(16)}}, tmp_path / "a.ckpt")
    command = [sys.executable, "-c", CHILD, str(ROOT), str(tmp_path / "a.ckpt"), str(tmp_path / "a.safetensors")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert "exit 0" in done.stdout and (tmp_path / "a.safetensors").exists()
