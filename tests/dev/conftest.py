"""Lightning reads torchvision through torchmetrics, which a CPU build of torch lacks. And a parity tool's small run."""

import importlib
import json
import shutil
from types import SimpleNamespace

import pytest
from atelier.dev.setup.torchvision_ops import make_importable

make_importable()
NOISE = 1e-7


@pytest.fixture(scope="session")
def parity(host):
    """Parity tools over a small folder in their own layout, recorded by the test itself.

    .figures(name, folder, rc=0) -> {quantity: worst error} of `python dev.py parity NAME FOLDER`.
    .after(name, folder, to, file, key, keep=None) -> what fails once one number of one recorded tensor is changed;
    keep: files that the changed one needs (default: all). An index that lists items keeps the changed one's alone.
    """
    from safetensors.torch import load_file, save_file

    known = {}

    def figures(name, folder, rc=0):
        report = folder.parent / f"{folder.name}.json"
        tool = importlib.import_module(f"atelier.dev.parity.parity_{name}")
        assert tool.run(str(folder), str(report)) == rc
        return json.loads(report.read_text())

    def after(name, folder, to, file, key, keep=None):
        keep = None if keep is None else {file, *keep}
        shutil.copytree(folder, to, ignore=lambda at, names: [
            n for n in names if keep is not None and at == str(folder) and n not in keep])  # fmt: skip
        index = json.loads((to / "index.json").read_text()) if (to / "index.json").exists() else {}
        if "items" in index:
            index["items"] = [item for item in index["items"] if item["file"] == file]
            (to / "index.json").write_text(json.dumps(index))
        tensors = load_file(to / file)
        tensors[key].flatten()[-1:].add_(1)
        save_file(tensors, to / file)
        if folder not in known:
            known[folder] = figures(name, folder)
        changed = figures(name, to, rc=1)
        return {quantity for quantity, error in changed.items() if error > known[folder][quantity] + NOISE}

    return SimpleNamespace(figures=figures, after=after)
