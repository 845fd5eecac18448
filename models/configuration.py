"""Configurations that come with weights: read within bounds, checked against a table, refused in one sentence.

Whoever shares a model folder also writes its JSON. Nothing in it is handed on to a library before it went through
here: `read` or `parse` bounds the file, `check` compares it with a table of keys, types and ranges (a pydantic model),
`scan` bounds the values of configurations whose keys a library defines.
"""

from __future__ import annotations

import json
import math
import re
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

# Numbers by the last word of their key, as model configurations name them. Everything else: _ANY.
_RANGES = (
    (
        re.compile(r"(num_)?(hidden_layers|layers|n_layers?|blocks|encoder_blocks)|depths?|(en|de)coder_layers"),
        (0, 512),
    ),
    (re.compile(r"(num_)?(attention_heads|key_value_heads|heads|n_heads?)|(en|de)coder_attention_heads"), (-1, 1024)),
    (
        re.compile(r"(hidden|intermediate|embedding)_sizes?|.*_hidden_size|width|d_model|d_ff|.*_dim|dim|ffn_dim"),
        (0, 65536),
    ),
    (re.compile(r".*ffn_dim"), (0, 262_144)),
    (re.compile(r"num_res_blocks|transformer_depth.*|channel_mult"), (-1, 64)),
    (re.compile(r".*channels"), (-1, 65536)),
    (re.compile(r"vocab_size|.*_vocab_size"), (0, 2_000_000)),
    (re.compile(r"image_size|patch_sizes?|crop_size"), (0, 4096)),
    (re.compile(r"num_query_tokens|num_labels|num_channels|in_channels"), (0, 65536)),
)
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
    key = ".".join(str(part) for part in error["loc"]) or "the whole"
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


def _range(key: str) -> tuple[float, float]:
    return next((limits for pattern, limits in _RANGES if pattern.fullmatch(key)), _ANY)


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
