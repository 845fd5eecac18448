"""python dev.py convert CKPT [OUT]: a pickled checkpoint as safetensors, without running pickle code.

PyTorch files since 1.6 are zip archives: one pickle stream that describes objects, and the tensors' bytes beside it.
The stream is interpreted here by a small machine that knows how to build containers and tensors and nothing else: no
import, no call, no constructor of the file's choice. Whatever else the file holds (optimiser, callbacks) is named and
left out.
"""

from __future__ import annotations

import argparse
import json
import math
import mmap
import pickletools
import struct
import sys
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import torch

from ..craft.whole_files import NotWritten, whole_file

DTYPES = {
    "FloatStorage": torch.float32, "HalfStorage": torch.float16, "BFloat16Storage": torch.bfloat16,
    "DoubleStorage": torch.float64,
    "LongStorage": torch.int64, "IntStorage": torch.int32, "ShortStorage": torch.int16, "CharStorage": torch.int8,
    "ByteStorage": torch.uint8, "BoolStorage": torch.bool,
}  # fmt: skip
REBUILDERS = {("torch._utils", "_rebuild_tensor_v2"), ("torch._utils", "_rebuild_tensor")}


class Refused(ValueError):
    """The file cannot be converted; the message says why and what to do."""


@dataclass(frozen=True)
class Global:
    """A name that the stream asks for. It is never imported."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass
class Inert:
    """What stands in for an object that would have been made by a refused name."""

    made_by: str


@dataclass(frozen=True)
class Storage:
    key: str
    dtype: torch.dtype
    length: int


@dataclass(frozen=True)
class TensorRecord:
    """A tensor as the stream describes it: a view on the bytes of one archive member."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


@dataclass
class Machine:
    """Interprets a pickle stream with containers, numbers, texts and tensor records; everything else becomes Inert."""

    stack: list = field(default_factory=list)
    marks: list[int] = field(default_factory=list)
    memo: dict[int, object] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)

    def run(self, stream: bytes) -> object:
        for opcode, argument, position in pickletools.genops(stream):
            if opcode.name == "STOP":
                return self.stack.pop()
            action = getattr(self, f"do_{opcode.name}", None)
            if action is not None:
                action(argument)
            elif opcode.name in _CONSTANTS:
                self.stack.append(_CONSTANTS[opcode.name])
            elif opcode.name in _LITERALS:
                self.stack.append(argument)
            elif opcode.name not in _IGNORED:
                raise Refused(
                    f"The file uses the pickle instruction {opcode.name} at byte {position}, which a checkpoint "
                    "has no need of."
                )
        raise Refused("The object list of the file ends too early; it is damaged or cut.")

    def pop_to_mark(self) -> list:
        mark = self.marks.pop()
        items = self.stack[mark:]
        del self.stack[mark:]
        return items

    def do_MARK(self, _):
        self.marks.append(len(self.stack))

    def do_EMPTY_DICT(self, _):
        self.stack.append({})

    def do_EMPTY_LIST(self, _):
        self.stack.append([])

    def do_EMPTY_SET(self, _):
        self.stack.append([])

    def do_TUPLE(self, _):
        self.stack.append(tuple(self.pop_to_mark()))

    def do_TUPLE1(self, _):
        self.stack[-1:] = [tuple(self.stack[-1:])]

    def do_TUPLE2(self, _):
        self.stack[-2:] = [tuple(self.stack[-2:])]

    def do_TUPLE3(self, _):
        self.stack[-3:] = [tuple(self.stack[-3:])]

    def do_LIST(self, _):
        self.stack.append(self.pop_to_mark())

    do_FROZENSET = do_LIST

    def do_DICT(self, _):
        self.stack.append(_pairs(self.pop_to_mark()))

    def do_APPEND(self, _):
        self._extend([self.stack.pop()])

    def do_APPENDS(self, _):
        self._extend(self.pop_to_mark())

    do_ADDITEMS = do_APPENDS

    def _extend(self, items):
        if isinstance(self.stack[-1], list):
            self.stack[-1].extend(items)

    def do_SETITEM(self, _):
        value, key = self.stack.pop(), self.stack.pop()
        self._set([key, value])

    def do_SETITEMS(self, _):
        self._set(self.pop_to_mark())

    def _set(self, items):
        if isinstance(self.stack[-1], dict):
            self.stack[-1].update(_pairs(items))

    def do_BUILD(self, _):
        self.stack.pop()  # the state of an object: nothing here has one

    def do_POP(self, _):
        self.stack.pop()

    def do_POP_MARK(self, _):
        self.pop_to_mark()

    def do_DUP(self, _):
        self.stack.append(self.stack[-1])

    def do_BINPUT(self, index):
        self.memo[index] = self.stack[-1]

    do_LONG_BINPUT = do_BINPUT

    def do_MEMOIZE(self, _):
        self.memo[len(self.memo)] = self.stack[-1]

    def do_BINGET(self, index):
        self.stack.append(self.memo[index])

    do_LONG_BINGET = do_BINGET

    def do_GLOBAL(self, argument):
        module, name = argument.split(" ", 1)
        self.stack.append(Global(module, name))

    def do_STACK_GLOBAL(self, _):
        name, module = self.stack.pop(), self.stack.pop()
        self.stack.append(Global(str(module), str(name)))

    def do_BINPERSID(self, _):
        self.stack.append(_storage(self.stack.pop()))

    def do_REDUCE(self, _):
        arguments, made_by = self.stack.pop(), self.stack.pop()
        self.stack.append(self._construct(made_by, arguments))

    do_NEWOBJ = do_REDUCE

    def do_NEWOBJ_EX(self, _):
        self.stack.pop()
        self.do_REDUCE(None)

    def _construct(self, made_by, arguments):
        """The few constructions that a state dict needs, done here; any other name gives an Inert and is written
        down.
        """
        name = (made_by.module, made_by.name) if isinstance(made_by, Global) else None
        if name in REBUILDERS and isinstance(arguments[0], Storage):
            storage, offset, shape, stride = arguments[:4]
            return TensorRecord(storage, int(offset), tuple(map(int, shape)), tuple(map(int, stride)))
        if name == ("torch._utils", "_rebuild_parameter"):
            return arguments[0]
        if name == ("collections", "OrderedDict"):
            return _pairs([part for pair in arguments[0] for part in pair]) if arguments else {}
        self.refused[str(made_by)] = self.refused.get(str(made_by), 0) + 1
        return Inert(str(made_by))


_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_LITERALS = {
    "BININT", "BININT1", "BININT2", "INT", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT",
    "BINUNICODE", "SHORT_BINUNICODE",
    "BINUNICODE8", "UNICODE", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8",
    "BINSTRING", "SHORT_BINSTRING", "STRING",
}  # fmt: skip
_IGNORED = {"PROTO", "FRAME"}


def _pairs(items: list) -> dict:
    """Keys that are not plain (an Inert, a list) cannot name a tensor and are left out."""
    return {
        key: value for key, value in zip(items[::2], items[1::2]) if isinstance(key, (str, int, float, bool, tuple))
    }


def _storage(description: object) -> Storage:
    """('storage', FloatStorage, key, device, length), as PyTorch writes it."""
    if not (
        isinstance(description, tuple)
        and len(description) >= 5
        and description[0] == "storage"
        and isinstance(description[1], Global)
    ):
        raise Refused(
            "The file refers to a tensor in a way that PyTorch does not write; it is damaged or not a checkpoint."
        )
    kind = description[1].name
    if kind not in DTYPES:
        raise Refused(f"The file holds tensors of the kind {kind}; expected one of {', '.join(DTYPES)}.")
    return Storage(str(description[2]), DTYPES[kind], int(description[4]))


def read(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, int]]:
    """The tensors of a checkpoint by name, as views on the mapped file, and the names that were refused (with counts).

    Raises Refused for anything that is not a PyTorch zip file, is compressed, or whose tensors lie outside their bytes.
    """
    if not zipfile.is_zipfile(path):
        raise Refused(
            f"{path.name} is not a PyTorch zip file. If it is already .safetensors there is nothing to do; "
            "files from before "
            "PyTorch 1.6 have to be saved anew by a current PyTorch, by whoever trusts them."
        )
    with zipfile.ZipFile(path) as archive:
        listing = [name for name in archive.namelist() if name.endswith("data.pkl")]
        if len(listing) != 1:
            raise Refused(
                f"{path.name} is a zip file with {len(listing)} lists of objects (data.pkl); a checkpoint has one."
            )
        root = listing[0].removesuffix("data.pkl")
        if root + "byteorder" in archive.namelist() and archive.read(root + "byteorder") != sys.byteorder.encode():
            raise Refused(f"{path.name} was written on a machine with another byte order.")
        machine = Machine()
        try:
            content = machine.run(archive.read(listing[0]))
        except (IndexError, KeyError, TypeError, AttributeError, UnicodeDecodeError, ValueError) as damage:
            if isinstance(damage, Refused):
                raise
            raise Refused(f"The object list of {path.name} is damaged ({damage}).") from damage
        members = {info.filename: info for info in archive.infolist()}
    records = _records(content)
    if not records:
        raise Refused(f"{path.name} holds no named tensor.")
    with open(path, "rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)  # never written to; torch wants a writable buffer
    return {name: _tensor(name, record, mapped, members, root) for name, record in records.items()}, machine.refused


def _records(content: object) -> dict[str, TensorRecord]:
    """The named tensors of the innermost state_dict, or of the whole dict where there is none."""
    while isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict):
        raise Refused("The file holds no dictionary of tensors.")
    return {name: value for name, value in content.items() if isinstance(name, str) and isinstance(value, TensorRecord)}


def _tensor(name: str, record: TensorRecord, mapped: mmap.mmap, members: dict, root: str) -> torch.Tensor:
    info = members.get(f"{root}data/{record.storage.key}")
    if info is None or info.compress_type != zipfile.ZIP_STORED:
        raise Refused(
            f"The bytes of {name} are {'missing' if info is None else 'compressed'}; the file is damaged or "
            "was packed again."
        )
    size = record.storage.dtype.itemsize
    last = (
        record.offset + sum((n - 1) * s for n, s in zip(record.shape, record.stride)) if math.prod(record.shape) else -1
    )
    if record.offset < 0 or min(record.stride, default=0) < 0 or (last + 1) * size > info.file_size:
        raise Refused(f"{name} reaches past its bytes in the file; the file is damaged.")
    if math.prod(record.shape) == 0:
        return torch.empty(record.shape, dtype=record.storage.dtype)
    # The local header repeats the name and may carry padding of its own length.
    name_length, extra_length = struct.unpack_from("<HH", mapped, info.header_offset + 26)
    begin = info.header_offset + 30 + name_length + extra_length
    count = info.file_size // size
    aligned = begin % size == 0
    bytes_of = (mapped, begin) if aligned else (bytearray(mapped[begin : begin + count * size]), 0)
    flat = torch.frombuffer(bytes_of[0], dtype=record.storage.dtype, count=count, offset=bytes_of[1])
    return flat.as_strided(record.shape, record.stride, record.offset)


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
