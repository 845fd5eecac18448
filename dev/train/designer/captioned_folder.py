"""Any folder of pictures with captions: `dress.jpg` beside `dress.txt`, or a `metadata.jsonl` of file_name and text.

A caption of one line is cut at its commas (five items of concept, then attributes); in one of several lines the first
line is the concept and each further one an attribute. Optional: `pose/` and `sketch/` with drawings of the same names.
"""

from __future__ import annotations

import json
from pathlib import Path

from .design_record import PICTURES, Design, check_picture, inside, raise_for, split_caption

LIST = "metadata.jsonl"
BESIDE = ("pose", "sketch", "fabric")


def read(folder: Path) -> list[Design]:
    """The designs of a folder and its subfolders, by name. Raises ValueError naming what is broken."""
    if (folder / LIST).is_file():
        return _listed(folder)
    files = sorted(path for path in folder.rglob("*") if path.is_file() and _counts(path.relative_to(folder)))
    pictures = [path for path in files if path.suffix.lower() in PICTURES]
    if not pictures:
        raise ValueError(f"{folder} holds no pictures ({', '.join(PICTURES)}); put pictures with a .txt each into it.")
    stems = {path.with_suffix("") for path in pictures}
    texts = [path for path in files if path.suffix.lower() == ".txt"]
    problems = [
        f"{text.relative_to(folder)}: no picture of this name lies beside it"
        for text in texts
        if text.with_suffix("") not in stems
    ]
    designs = []
    for picture in pictures:
        try:
            designs.append(_design(folder, picture, _text(picture.with_suffix(".txt"))))
        except ValueError as problem:
            problems.append(f"{picture.relative_to(folder)}: {problem}")
    raise_for(problems, len(stems | {text.with_suffix("") for text in texts}), str(folder))
    return designs


def _counts(path: Path) -> bool:
    return path.parts[0] not in BESIDE and not any(part.startswith(".") for part in path.parts)


def _listed(folder: Path) -> list[Design]:
    designs, problems, lines = [], [], 0
    try:
        text = (folder / LIST).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as problem:
        raise ValueError(f"{folder / LIST} is not UTF-8 text ({problem}); save it as UTF-8.") from problem
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        lines += 1
        try:
            entry = json.loads(line)
            if (
                not isinstance(entry, dict)
                or not isinstance(entry.get("file_name"), str)
                or not isinstance(entry.get("text"), str)
            ):
                raise ValueError("it needs file_name and text")
            if not entry["text"].strip():
                raise ValueError(f"the text of {entry['file_name']} is empty")
            designs.append(_design(folder, inside(folder, entry["file_name"]), entry["text"]))
        except json.JSONDecodeError as problem:
            problems.append(f"line {number}: it is not valid JSON ({problem.msg})")
        except ValueError as problem:
            problems.append(f"line {number}: {problem}")
    raise_for(problems, lines, LIST)
    if not designs:
        raise ValueError(f"{folder / LIST} is empty; expected is a line of file_name and text for each picture.")
    return designs


def _text(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ValueError(f"it has no caption; write one into {path.name}") from None
    except UnicodeDecodeError as problem:
        raise ValueError(f"{path.name} is not UTF-8 text ({problem.reason})") from problem
    if not text.strip():
        raise ValueError(f"its caption {path.name} is empty")
    return text


def _design(folder: Path, picture: Path, text: str) -> Design:
    if not picture.is_file():
        raise ValueError(f"{picture.name} is missing")
    check_picture(picture)
    beside, stem = {}, picture.relative_to(folder).with_suffix("")
    for kind in BESIDE:
        drawing = next((p for end in PICTURES if (p := folder / kind / f"{stem}{end}").is_file()), None)
        if drawing is not None:
            check_picture(drawing)
            beside[kind] = drawing
    return Design(picture, *split_caption(text), **beside)
