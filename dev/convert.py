"""python dev.py convert CKPT [OUT]: a pickled checkpoint as safetensors, without running code from it.

PyTorch's own safe loader (weights only) reads the file. A class that it does not know is replaced by an inert stand-in:
nothing of the file's choice is imported or called. Whatever else the file holds (optimiser, callbacks) is named and
left out. A file that names anything of `os` or `sys` is refused.
"""

from __future__ import annotations

import argparse
import json
import pickle
import re
import sys
import warnings
import zipfile
from collections import OrderedDict
from pathlib import Path

import torch

from ..craft.whole_files import NotWritten, whole_file

LONGEST_LIST = 64 * 2**20  # bytes of the description of objects; that of a large language model takes a few
KINDS = {"append": list, "extend": list, "SETITEM": OrderedDict, "SETITEMS": OrderedDict}
_DAMAGE = (pickle.UnpicklingError, RuntimeError, ValueError, TypeError, AttributeError, KeyError, IndexError, EOFError,
           AssertionError, MemoryError, OverflowError, ImportError)  # fmt: skip


class Refused(ValueError):
    """The file cannot be converted; the message says why and what to do."""


class StandIns:
    """Inert classes in place of those that a file names, and how often each was asked for an object."""

    def __init__(self, names: list[str]):
        self.counts = dict.fromkeys(names, 0)
        self.kinds: dict[str, type] = {}

    def classes(self) -> list[tuple[type, str]]:
        return [(self._class(name), name) for name in self.counts]

    def _class(self, name: str) -> type:
        def make(cls, *_, **__):
            self.counts[name] += 1
            return self.kinds[name]() if name in self.kinds else object.__new__(cls)

        members = {"__new__": make, "__init__": lambda *_, **__: None, "__setstate__": lambda *_: None}
        return type(name, (), {**members, "__module__": "left_out"})

    def learn(self, problem: str) -> bool:
        """Whether the loader's complaint names a stand-in that has to be a list or a dictionary; it is one then."""
        verb, name = re.search(r"Can only (\w+)", problem), re.search(r"but got <class 'left_out\.([^']+)'>", problem)
        if not verb or not name or name[1] in self.kinds or verb[1] not in KINDS:
            return False
        self.kinds[name[1]] = KINDS[verb[1]]
        self.counts = dict.fromkeys(self.counts, 0)
        return True


def read(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, int]]:
    """The tensors of a checkpoint by name, as views on the mapped file, and the names that are left out, with counts.

    Raises Refused for anything that is not a PyTorch zip file, is compressed, or whose tensors lie outside their bytes.
    """
    sizes = _check_archive(path)
    try:
        stand_ins = StandIns(torch.serialization.get_unsafe_globals_in_checkpoint(str(path)))
        content = _load(path, stand_ins)
    except _DAMAGE as problem:
        raise Refused(f"{path.name} cannot be read safely: {_reason(str(problem))}") from problem
    named = _named(content, path.name)
    tensors = {name: value for name, value in named.items() if _dense(value)}
    if not tensors:
        raise Refused(f"{path.name} holds no named tensor.")
    for name, tensor in tensors.items():
        if tensor.numel() and tensor.untyped_storage().nbytes() not in sizes:
            raise Refused(f"{name} of {path.name} reaches past its bytes in the file; the file is damaged.")
    return {name: tensor.detach() for name, tensor in tensors.items()}, stand_ins.counts


def _check_archive(path: Path) -> set[int]:
    """The sizes of the archive's members. Raises Refused unless it is PyTorch's and unpacks to no more than it is."""
    if not zipfile.is_zipfile(path):
        raise Refused(
            f"{path.name} is not a PyTorch zip file. If it is already .safetensors there is nothing to do; files from"
            " before PyTorch 1.6 have to be saved anew by a current PyTorch, by whoever trusts them."
        )
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError) as problem:
        raise Refused(f"{path.name} is a damaged zip file ({problem}).") from problem
    lists = [member for member in members if member.filename.endswith("data.pkl")]
    if len(lists) != 1:
        raise Refused(f"{path.name} is a zip file with {len(lists)} lists of objects (data.pkl); a checkpoint has one.")
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise Refused(f"The bytes in {path.name} are compressed; the file was packed again. Ask for the original.")
    total, most = sum(member.file_size for member in members), path.stat().st_size
    if total > most or lists[0].file_size > LONGEST_LIST:
        raise Refused(
            f"{path.name} has {most} bytes and unpacks to {total}, {lists[0].file_size} of them for its list of objects"
            f" (at most {LONGEST_LIST}); the file is damaged or made to fill the memory."
        )
    return {member.file_size for member in members}


def _load(path: Path, stand_ins: StandIns) -> object:
    """What the file holds, with stand-ins; a stand-in that is filled like a list or a dictionary becomes one."""
    while True:
        with warnings.catch_warnings(), torch.serialization.safe_globals(stand_ins.classes()):
            warnings.simplefilter("ignore")
            try:
                return torch.load(str(path), map_location="cpu", mmap=True, weights_only=True)
            except pickle.UnpicklingError as problem:
                if not stand_ins.learn(str(problem)):
                    raise


def _reason(problem: str) -> str:
    """The loader's complaint, without its advice to trust the file."""
    for before in ("trusted source.", "WeightsUnpickler error: "):
        problem = problem.split(before)[-1]
    for after in ("Please use", "Check the documentation", "(Could this error message"):
        problem = problem.split(after)[0]
    reason = " ".join(problem.split())[:300]
    if "Unsupported operand" in reason:
        return f"it was saved with another pickle protocol than 2, or it is damaged ({reason})."
    return reason or "its list of objects is damaged or cut."


def _named(content: object, name: str) -> dict[str, object]:
    """The entries of the innermost state_dict, or of the whole dictionary where there is none."""
    seen = set()
    while isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        if id(content) in seen:
            raise Refused(f"The dictionaries of {name} hold each other in a circle; the file is damaged.")
        seen.add(id(content))
        content = content["state_dict"]
    if not isinstance(content, dict):
        raise Refused(f"{name} holds no dictionary of tensors.")
    return {key: value for key, value in content.items() if isinstance(key, str)}


def _dense(value: object) -> bool:
    return isinstance(value, torch.Tensor) and value.layout == torch.strided and value.device.type == "cpu"


def convert(source: Path, target: Path) -> tuple[int, dict[str, int]]:
    """Write the tensors of `source` to `target` (.safetensors). Returns their number and the refused names."""
    from safetensors.torch import save_file

    tensors, refused = read(source)
    # safetensors refuses two names on one memory; a copy only where tensors do share or are not contiguous.
    seen: set[int] = set()
    for name, tensor in tensors.items():
        memory = tensor.untyped_storage().data_ptr()
        if not tensor.is_contiguous() or memory in seen:
            tensors[name] = tensor.clone(memory_format=torch.contiguous_format)
        seen.add(memory)
    with whole_file(target) as draft:
        save_file(tensors, str(draft), metadata={"format": "pt", "left_out": json.dumps(sorted(refused))})
    return len(tensors), refused


def run(arguments: list[str]) -> int:
    """The command line. Returns 0, or 1 with a sentence on stderr."""
    parser = argparse.ArgumentParser(prog="dev.py convert", description=__doc__.split("\n")[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("out", type=Path, nargs="?", help="default: the same name with .safetensors")
    options = parser.parse_args(arguments)
    target = options.out or options.checkpoint.with_suffix(".safetensors")
    try:
        if not options.checkpoint.is_file():
            raise Refused(f"There is no file {options.checkpoint}.")
        if target.exists():
            raise Refused(f"{target} exists already; name another file or remove it.")
        count, refused = convert(options.checkpoint, target)
    except (Refused, NotWritten) as problem:
        print(problem, file=sys.stderr)
        return 1
    print(f"{count} tensors written to {target}")
    if refused:
        print("left out, never run: " + ", ".join(f"{name} ({times})" for name, times in sorted(refused.items())))
    return 0
