"""Configurations that come with weights: read within bounds, checked against a table, refused in one sentence.

Whoever shares a model folder also writes its JSON. Nothing in it is handed on to a library before it went through
here: `read` or `parse` bounds the file, `check` compares it with a table of keys, types and ranges (a pydantic model),
`scan` bounds the values of configurations whose keys a library defines.
"""

from __future__ import annotations

import json
import math
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

MOST_BYTES = 4 << 20
DEEPEST = 24
LONGEST_TEXT = 4000
MOST_ITEMS = 300_000
ADVICE = "take the file from where it came again, or choose another model"

# Numbers by the name of their key, as model configurations have it: whole names, ends of names, lowest and highest.
_RANGES: tuple[tuple[set[str], tuple[str, ...], int, int], ...] = (
    ({"num_res_blocks", "channel_mult"}, (), -1, 64),
    ({"layers", "num_layers", "depth", "depths", "n_layer", "n_layers", "num_blocks", "num_encoder_blocks"},
     ("hidden_layers", "coder_layers", "transformer_depth", "depth_middle", "depth_output"), -1, 512),
    (set(), ("heads", "n_head"), -1, 1024),
    (set(), ("image_size", "patch_size", "patch_sizes", "crop_size"), 0, 4096),
    (set(), ("vocab_size",), 0, 2_000_000),
    (set(), ("ffn_dim",), 0, 262_144),
    ({"width", "d_model", "d_ff", "num_query_tokens", "num_labels"},
     ("hidden_size", "hidden_sizes", "intermediate_size", "embedding_size", "dim", "channels"), -1, 65536),
)  # fmt: skip
_ANY = (-1e15, 1e15)

Width = Annotated[int, Field(ge=1, le=65536)]
Layers = Annotated[int, Field(ge=0, le=512)]
Heads = Annotated[int, Field(ge=1, le=1024)]
PictureSize = Annotated[int, Field(ge=1, le=4096)]
Share = Annotated[float, Field(ge=0, le=1)]
Name = Annotated[str, Field(max_length=200)]


class Table(BaseModel):
    """Base of the tables: keys beyond the table are refused, numbers are never made of texts or flags."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, protected_namespaces=())


class OpenTable(Table):
    """A table whose configuration may hold more: what others read is left to them."""

    model_config = ConfigDict(extra="ignore", strict=True, allow_inf_nan=False, protected_namespaces=())


AnyTable = TypeVar("AnyTable", bound=Table)


def read(path: Path, most_bytes: int = MOST_BYTES) -> dict[str, Any]:
    """The JSON object in a file. Raises ValueError with one sentence: no regular file, too large, damaged."""
    path, name = Path(path), f"{Path(path).parent.name}/{Path(path).name}"
    try:
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):
            raise ValueError(f"{name} is no regular file; {ADVICE}.")
        if about.st_size > most_bytes:
            raise ValueError(f"{name} has {about.st_size} bytes, expected at most {most_bytes}; {ADVICE}.")
        content = path.read_bytes()
    except OSError as problem:
        raise ValueError(f"{name} cannot be read ({problem.strerror}); {ADVICE}.") from problem
    return parse(content, name)


def parse(content: str | bytes, name: str) -> dict[str, Any]:
    """The JSON object in a text. name: the file's, for messages. Raises ValueError with one sentence."""
    try:
        text = content.decode("utf-8-sig") if isinstance(content, bytes) else content
        value = json.loads(text, parse_constant=_refuse_constant)
        deepest = max((depth for _, _, depth in _walk(value)), default=0)
    except RecursionError:
        deepest, value = DEEPEST + 1, {}
    except (ValueError, UnicodeError) as problem:
        raise ValueError(f"{name} is not valid JSON ({str(problem)[:120]}); {ADVICE}.") from problem
    if deepest > DEEPEST:
        raise ValueError(f"{name} nests deeper than {DEEPEST} levels; {ADVICE}.")
    if not isinstance(value, dict):
        raise ValueError(f"{name} holds {_kind(value)}, expected an object with names; {ADVICE}.")
    return value


def check(table: type[AnyTable], config: object, name: str) -> AnyTable:
    """config as an object of the table. Raises ValueError with one sentence that names the first key at fault, what
    was found there and what was expected."""
    try:
        return table.model_validate(config)
    except ValidationError as problem:
        error = problem.errors(include_url=False)[0]
    key = ".".join(_way(config, error["loc"])) or "the whole"
    if error["type"] == "extra_forbidden":
        raise ValueError(f"{name} has the key {key}, which is not known there; remove it, or {ADVICE}.")
    if error["type"] == "missing":
        raise ValueError(f"{name} lacks {key}; {ADVICE}.")
    expected = error["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    raise ValueError(f"{name}: {key} is {_short(error['input'])}, expected {expected}; {ADVICE}.")


def scan(config: dict[str, Any], name: str) -> None:
    """Bound every value below `config`: numbers by the name of their key, texts and lists by length.

    Raises ValueError with one sentence that names the key.
    """
    for path, value, _ in _walk(config):
        key = ".".join(path)
        if isinstance(value, str) and len(value) > LONGEST_TEXT:
            raise ValueError(f"{name}: {key} has {len(value)} letters, expected at most {LONGEST_TEXT}; {ADVICE}.")
        if isinstance(value, (list, dict)) and len(value) > MOST_ITEMS:
            raise ValueError(f"{name}: {key} has {len(value)} entries, expected at most {MOST_ITEMS}; {ADVICE}.")
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            low, high = _range(next((part for part in reversed(path) if not part.isdigit()), ""))
            if not low <= value <= high:
                raise ValueError(f"{name}: {key} is {_short(value)}, expected {low:g} to {high:g}; {ADVICE}.")


def _way(config: Any, parts: tuple) -> list[str]:
    """The keys of a pydantic place; where a table takes one of several types, their names stand between the keys."""
    way: list[str] = []
    for part in parts:
        if isinstance(config, (dict, list)) or part is parts[-1]:
            named = isinstance(part, str) and isinstance(config, (list, dict)) and part in config
            if isinstance(part, int) or named or (isinstance(config, dict) and part is parts[-1]):
                way.append(str(part))
                config = config[part] if named or (isinstance(config, list) and part < len(config)) else None
    return way


def _range(key: str) -> tuple[float, float]:
    fits = ((low, high) for names, ends, low, high in _RANGES if key in names or key.endswith(ends))
    return next(fits, _ANY)


def _walk(value: object, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], object, int]]:
    """(path, value, depth) of everything below a JSON value, without recursion."""
    waiting = [(path, value, 1)]
    while waiting:
        at, value, depth = waiting.pop()
        yield at, value, depth
        if depth <= DEEPEST + 1 and isinstance(value, (dict, list)):
            items = value.items() if isinstance(value, dict) else enumerate(value)
            waiting += [((*at, str(key)), inner, depth + 1) for key, inner in items]


def _refuse_constant(text: str) -> float:
    raise ValueError(f"{text} is no number of JSON's")


def _short(value: object) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    text = repr(value) if not isinstance(value, int) or abs(value) < 1e30 else f"{str(value)[:12]}..."
    return text if len(text) <= 60 else text[:57] + "..."


def _kind(value: object) -> str:
    kinds = {list: "a list", str: "a text", bool: "a flag", int: "a number", float: "a number"}
    return kinds.get(type(value), "nothing")
