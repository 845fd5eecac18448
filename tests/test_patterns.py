"""Every regular expression of the pack reads a text in a time that grows with its length alone.

Python's `re` tries the ways in which a text can be divided among repeats one after another. So no two repeats without
an upper bound may stand where both could take the same character, one inside the other or side by side, and a pattern
that is searched for may not begin with such a repeat and fail behind it.
"""

import ast
import re
from pathlib import Path

import pytest

parser = getattr(re, "_parser", None) or __import__("sre_parse")
ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("craft", "host", "nodes", "models", "croquis", "dev")
FUNCTIONS = {"compile", "match", "fullmatch", "search", "sub", "subn", "split", "findall", "finditer"}
REPEATS = {"MAX_REPEAT", "MIN_REPEAT"}
# One character of every kind that a pattern may tell from others.
ALPHABET = [chr(code) for code in range(0x250)] + list("\u0301\u0430\u0660\u2003‘’“”–—…、。，连ａ😀")


# ------------------------------------------------------------------------------------------------ what is in the pack
def sites():
    """(file, line, function, pattern or None where it is no literal) of every use of `re`."""
    for path in [*ROOT.glob("*.py"), *(file for room in ROOMS for file in (ROOT / room).rglob("*.py"))]:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module == "re":
                raise AssertionError(f"{path.name}: write `import re`, so that this test finds the patterns")
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            if isinstance(node.func.value, ast.Name) and node.func.value.id == "re" and node.func.attr in FUNCTIONS:
                name = path.relative_to(ROOT).as_posix()
                first = node.args[0]
                literal = first.value if isinstance(first, ast.Constant) else None
                yield name, node.lineno, node.func.attr, literal


def made_patterns(monkeypatch):
    """Patterns that are put together while the pack runs: file -> those that a call of it uses."""
    from atelier.models.studio.wardrobe import wardrobe_words
    from atelier.models.unifashion import qformer_keys

    used = []
    with monkeypatch.context() as patched:
        for name in ("sub", "subn", "match"):
            own = getattr(re, name)
            patched.setattr(re, name, lambda pattern, *args, _own=own: used.append(pattern) or _own(pattern, *args))
        wardrobe_words.token_ids("long puffed sleeve")
        words, used[:] = list(used), []
        qformer_keys.transformers_name("no such name")
    keys = [*used, *(pattern for pattern, _ in qformer_keys._LAVIS_TO_TRANSFORMERS)]
    return {"models/studio/wardrobe/wardrobe_words.py": words, "models/unifashion/qformer_keys.py": keys}


# ------------------------------------------------------------------------------------------------ what is in a pattern
def characters(items) -> frozenset:
    """Every character that a piece of a pattern can take anywhere."""
    taken = set()
    for op, value in items:
        name = str(op)
        if name in ("LITERAL", "NOT_LITERAL", "IN", "ANY", "RANGE"):
            taken |= {c for c in ALPHABET if takes(name, value, c)}
        elif name in REPEATS or name == "POSSESSIVE_REPEAT":
            taken |= characters(value[2])
        elif name == "SUBPATTERN":
            taken |= characters(value[3])
        elif name == "ATOMIC_GROUP":
            taken |= characters(value)
        elif name == "BRANCH":
            taken = taken.union(*(characters(branch) for branch in value[1]))
        elif name not in ("AT", "ASSERT", "ASSERT_NOT"):
            raise AssertionError(f"teach this test {name}")
    return frozenset(taken)


def takes(name, value, c) -> bool:
    if name == "LITERAL":
        return c.lower() == chr(value).lower()
    if name == "NOT_LITERAL":
        return c != chr(value)
    if name == "ANY":
        return True
    if name == "RANGE":
        return value[0] <= ord(c) <= value[1] or any(
            value[0] <= ord(x) <= value[1] for x in (c.lower()[0], c.upper()[0])
        )
    if name == "CATEGORY":
        kind = {"DIGIT": r"\d", "SPACE": r"\s", "WORD": r"\w"}[str(value).rsplit("_", 1)[-1]]
        return bool(re.match(kind, c)) != ("NOT_" in str(value))
    negated = str(value[0][0]) == "NEGATE"
    return any(takes(str(op), piece, c) for op, piece in value[negated:]) != negated


def endless(item) -> bool:
    op, value = item
    return str(op) in REPEATS and value[1] is parser.MAXREPEAT


def may_be_empty(items) -> bool:
    for op, value in items:
        name = str(op)
        if name in REPEATS:
            empty = value[0] == 0 or may_be_empty(value[2])
        elif name == "SUBPATTERN":
            empty = may_be_empty(value[3])
        elif name == "BRANCH":
            empty = any(may_be_empty(branch) for branch in value[1])
        else:
            empty = name == "AT"
        if not empty:
            return False
    return True


def edge(items, first: bool) -> frozenset:
    """The characters that a piece can begin (end) with."""
    taken = frozenset()
    for item in items if first else reversed(list(items)):
        op, value = item
        inner = value[2] if str(op) in REPEATS else value[3] if str(op) == "SUBPATTERN" else None
        if str(op) == "BRANCH":
            taken = taken.union(*(edge(branch, first) for branch in value[1]))
        else:
            taken |= characters([item]) if inner is None else edge(inner, first)
        if not may_be_empty([item]):
            break
    return taken


def flat(items) -> list:
    """Groups without a repeat of their own opened."""
    return [piece for op, value in items for piece in (flat(value[3]) if str(op) == "SUBPATTERN" else [(op, value)])]


def faults(items, searched: bool) -> list[str]:
    items, found = flat(items), []
    for place, item in enumerate(items):
        op, value = item
        inner = [value[2]] if str(op) in REPEATS else list(value[1]) if str(op) == "BRANCH" else []
        for piece in inner:
            found += faults(piece, False)
        if str(op) == "BRANCH":
            continue
        if not endless(item):
            continue
        body = flat(value[2])
        if may_be_empty(body):
            found.append("a repeat of what may be empty")
        if any(str(o) == "BRANCH" for o, _ in body):
            firsts = [edge(branch, True) for o, v in body if str(o) == "BRANCH" for branch in v[1]]
            if any(a & b for n, a in enumerate(firsts) for b in firsts[:n]):
                found.append("a repeat of branches that begin alike")
        low, high = value[2].getwidth()
        if low != high and edge(body, True) & edge(body, False):
            found.append("a repeat whose turns can be told apart in two ways")
        found += beside(items[place + 1 :], characters([item]))
        # A search tries every place: a repeat at the front runs to its end from each of its own characters.
        first = may_be_empty(items[:place]) and not any(str(o) == "AT" for o, _ in items[:place])
        if searched and first and not may_be_empty(items[place + 1 :]):
            found.append("a search for what begins with a repeat and may fail behind it")
    return found


def beside(following, own) -> list[str]:
    for item in following:
        taken = characters([item])
        if endless(item) and edge([item], True) & own:
            return ["two repeats side by side of the same characters"]
        if not may_be_empty([item]) and not taken & own and str(item[0]) not in ("ASSERT", "ASSERT_NOT"):
            return []
    return []


def examine(pattern: str, function: str) -> list[str]:
    return faults(parser.parse(pattern), searched=function not in ("match", "fullmatch"))


# ------------------------------------------------------------------------------------------------ tests
def test_no_pattern_of_the_pack_can_be_slow(monkeypatch):
    made, wrong, seen = made_patterns(monkeypatch), [], 0
    for file, line, function, literal in sites():
        assert literal is not None or file in made, f"{file}:{line} makes its pattern: add it to made_patterns"
        for pattern in [literal] if literal is not None else made[file]:
            seen += 1
            wrong += [f"{file}:{line}: {fault}: {pattern}" for fault in examine(pattern, function)]
    assert seen > 20 and all(made.values())
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    "pattern, function",
    [
        (r"\s*([A-Za-z][A-Za-z ]*?)\s*(?<!\\):", "match"),
        (r":\s*-?\d*\.?\d+\s*(?=[)\]])", "compile"),
        (r"\s*[-–]\s*", "sub"),
        (r"(a+)+b", "match"),
        (r"(?:a|aa)*c", "match"),
        (r"(?:a?)*b", "match"),
        (r"(?:cat|c[ao]t)*!", "match"),
        (r"x.*y.*z", "match"),
        (r"\d+\.", "search"),
    ],
)
def test_slow_patterns_are_seen(pattern, function):
    assert examine(pattern, function)


@pytest.mark.parametrize(
    "pattern",
    [r"[a-z]+(?:-[a-z]+)*", r"\\.|[()]", r"[^,;\s]+", r":\s*-?(?:\d+(?:\.\d+)?|\.\d+)\s*(?=[)\]])", r"<[^<>]*>"],
)
def test_quick_patterns_pass(pattern):
    assert examine(pattern, "compile") == []
