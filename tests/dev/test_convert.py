"""The converter: tensors of a pickled checkpoint as safetensors, and nothing of the file ever runs."""

import collections
import os
import zipfile

import pytest
import torch
from atelier.dev import convert

CALL = b"cposix\nsystem\nX\x01\x00\x00\x00x\x85R."  # posix.system("x")


class Evil:
    """Unpickling it would create a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


class Blocked(Evil):
    def __reduce__(self):
        return os.mkdir, (str(self.path),)


class Settings(dict):
    pass


class Steps(list):
    pass


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
        "callbacks": {"a": Callback(), Callback: [1], "settings": Settings(width=1), "steps": Steps([1, 2])},
        "bad": Evil(tmp_path / "ran"),
        **extra,
    }
    torch.save(content, path)
    return path, state


def test_convert_takes_the_tensors_and_runs_nothing(tmp_path, capsys):
    from safetensors.torch import load_file

    path, state = lightning(tmp_path, optimizer_states=[{"exp_avg": torch.ones(3)}])
    with zipfile.ZipFile(path) as archive:
        assert b"open" in archive.read("model/data.pkl"), "the control: the bait is in the file"
    call, arguments = Evil(tmp_path / "control").__reduce__()
    call(*arguments).close()
    assert (tmp_path / "control").exists(), "the control: the bait works"
    assert convert.run([str(path)]) == 0
    made = load_file(tmp_path / "model.safetensors")
    assert set(made) == set(state)
    for name, tensor in state.items():
        assert made[name].dtype == tensor.dtype and torch.equal(made[name], tensor), name
    assert not (tmp_path / "ran").exists()
    left_out = capsys.readouterr().out
    assert all(name in left_out for name in ("open (1)", "Settings (1)", "Steps (1)", "Callback (1)"))
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
        (lambda name, data: None if name.endswith("data/0") else data, "data/0"),
        (lambda name, data: data[:40] if name.endswith("data/0") else data, "past its bytes"),
        (lambda name, data: data[:60] if name.endswith("data.pkl") else data, "damaged"),
        (
            lambda name, data: data.replace(b"FloatStorage", b"QuirkStorage") if name.endswith("data.pkl") else data,
            "QuirkStorage",
        ),
        (
            lambda name, data: CALL if name.endswith("data.pkl") else data,
            "posix is blocked",
        ),
        (
            lambda name, data: b"(S'x'\niposix\nsystem\n." if name.endswith("data.pkl") else data,
            "Unsupported operand",
        ),
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


def test_what_the_safe_loader_does_not_read_is_refused_in_a_sentence(tmp_path, capsys):
    """Names of `os` that it blocks, and pickle protocols other than torch's own."""
    blocked, later = tmp_path / "blocked.ckpt", tmp_path / "later.ckpt"
    torch.save({"state_dict": {"a": torch.ones(2)}, "bad": Blocked(tmp_path / "ran")}, blocked)
    torch.save({"state_dict": {"a": torch.ones(2, 3)}}, later, pickle_protocol=4)
    for path, words in ((blocked, "posix is blocked"), (later, "another pickle protocol than 2")):
        assert convert.run([str(path)]) == 1
        sentence = capsys.readouterr().err
        assert words in sentence and path.name in sentence and "trust" not in sentence
    assert not (tmp_path / "ran").exists()


def circle() -> dict:
    content = {"a": torch.ones(2)}
    content["state_dict"] = content
    return content


def test_dictionaries_that_hold_each_other_are_refused(tmp_path):
    torch.save(circle(), tmp_path / "circle.ckpt")
    with pytest.raises(convert.Refused, match=r"circle\.ckpt hold each other"):
        convert.read(tmp_path / "circle.ckpt")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"K\x02K\x03", b"K\x02K\xff"),  # more columns than there are bytes
        (b"K\x02K\x03", b"J\xfe\xff\xff\xffJ\xfd\xff\xff\xff"),  # negative sides
        (b"K\x03K\x01\x86", b"K\x03\x85"),  # one stride for two sides
    ],
)
def test_tensors_that_do_not_fit_their_bytes_are_refused(tmp_path, before, after):
    path = tmp_path / "whole.ckpt"
    torch.save({"a": torch.ones(2, 3)}, path)

    def change(name, data):
        return data.replace(before, after) if name.endswith("data.pkl") else data

    with zipfile.ZipFile(path) as archive:
        assert before in archive.read("whole/data.pkl"), "the control"
    with pytest.raises(convert.Refused, match=r"broken\.ckpt"):
        convert.read(rewritten(path, tmp_path / "broken.ckpt", change))


def test_an_archive_that_unpacks_to_more_than_it_is_gets_refused(tmp_path, monkeypatch):
    path, _ = lightning(tmp_path)
    convert.read(path)  # the control
    data = path.read_bytes()
    begin = data.rindex(b"PK\x01\x02")  # the list's last entry: sizes at 20 and 24
    data = data[: begin + 20] + b"\xff\xff\xff\x70" * 2 + data[begin + 28 :]
    (tmp_path / "large.ckpt").write_bytes(data)
    with pytest.raises(convert.Refused, match=r"large\.ckpt has .* bytes and unpacks to"):
        convert.read(tmp_path / "large.ckpt")
