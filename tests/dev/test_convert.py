"""The converter of pickled checkpoints: every tensor, no code run, damaged files refused."""

import collections
import io
import os
import zipfile

import pytest
import torch
from atelier.dev import convert


class Evil:
    """Unpickling it would create a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


class Callback:
    def __init__(self):
        self.best = {"score": 1.0}


def lightning(tmp_path, **extra):
    """A checkpoint as Lightning writes it: the tensors in state_dict, objects beside it."""
    base = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    state = collections.OrderedDict(
        whole=base, rows=base[1:3], turned=base.t(), half=base.half(), brain=base.bfloat16(), count=torch.tensor(7),
        flags=torch.tensor([True, False]), none=torch.empty(0, 3), parameter=torch.nn.Parameter(base[0].clone()),
    )  # fmt: skip
    path = tmp_path / "model.ckpt"
    content = {
        "epoch": 3,
        "state_dict": {"state_dict": state},
        "callbacks": {"a": Callback(), Callback: [1]},
        "bad": Evil(tmp_path / "ran"),
        **extra,
    }
    torch.save(content, path)
    return path, state


def test_convert_takes_the_tensors_and_runs_nothing(tmp_path, capsys):
    from safetensors.torch import load_file

    path, state = lightning(tmp_path, optimizer_states=[{"exp_avg": torch.ones(3)}])
    with zipfile.ZipFile(path) as archive:
        assert b"mkdir" in archive.read("model/data.pkl"), "the control: the bait is in the file"
    assert convert.run([str(path)]) == 0
    made = load_file(tmp_path / "model.safetensors")
    assert set(made) == set(state)
    for name, tensor in state.items():
        assert made[name].dtype == tensor.dtype and torch.equal(made[name], tensor), name
    assert not (tmp_path / "ran").exists()
    assert "posix.mkdir" in capsys.readouterr().out
    assert convert.run([str(path)]) == 1 and "exists already" in capsys.readouterr().err


def test_what_the_host_refuses_is_sent_to_the_converter(tmp_path, host):
    from atelier.host.prompt import hierafashdiff_checkpoint as checkpoint

    path, _ = lightning(tmp_path)
    with pytest.raises(ValueError, match=r"python dev\.py convert"):
        checkpoint.load(str(path))
    assert not (tmp_path / "ran").exists()


def rewritten(path, target, change, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w", compression) as new:
        for name in old.namelist():
            data = change(name, old.read(name))
            if data is not None:
                new.writestr(name, data)
    return target


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda name, data: None if name.endswith("data/0") else data, "missing"),
        (lambda name, data: data[:40] if name.endswith("data/0") else data, "past its bytes"),
        (lambda name, data: data[:60] if name.endswith("data.pkl") else data, "too early|damaged"),
        (
            lambda name, data: data.replace(b"FloatStorage", b"QuirkStorage") if name.endswith("data.pkl") else data,
            "QuirkStorage",
        ),
        (lambda name, data: b"cposix\nsystem\n(S'x'\ntR." if name.endswith("data.pkl") else data, "dictionary"),
        (lambda name, data: b"(S'x'\niposix\nsystem\n." if name.endswith("data.pkl") else data, "instruction INST"),
        (lambda name, data: None if name.endswith("data.pkl") else data, "0 lists"),
    ],
)
def test_damaged_files_are_refused(tmp_path, change, words):
    path, _ = lightning(tmp_path)
    broken = rewritten(path, tmp_path / "broken.ckpt", change)
    with pytest.raises(convert.Refused, match=words):
        convert.read(broken)


def test_other_packings_are_refused(tmp_path):
    path, _ = lightning(tmp_path)
    with pytest.raises(convert.Refused, match="compressed"):
        convert.read(rewritten(path, tmp_path / "small.ckpt", lambda name, data: data, zipfile.ZIP_DEFLATED))
    old = tmp_path / "old.ckpt"
    torch.save({"a": torch.ones(2)}, old, _use_new_zipfile_serialization=False)
    with pytest.raises(convert.Refused, match="not a PyTorch zip file"):
        convert.read(old)


def test_a_packing_without_alignment_is_read_too(tmp_path):
    """Zip tools do not keep PyTorch's padding; the bytes may then lie anywhere."""
    path, state = lightning(tmp_path)
    moved = rewritten(path, tmp_path / "moved.ckpt", lambda name, data: data)
    tensors, _ = convert.read(moved)
    assert all(torch.equal(tensors[name], tensor) for name, tensor in state.items())


def test_every_protocol_that_torch_can_write(tmp_path):
    for protocol in (2, 4):
        buffer = io.BytesIO()
        torch.save({"state_dict": {"a": torch.ones(2, 3)}}, buffer, pickle_protocol=protocol)
        path = tmp_path / f"{protocol}.ckpt"
        path.write_bytes(buffer.getvalue())
        assert torch.equal(convert.read(path)[0]["a"], torch.ones(2, 3))
