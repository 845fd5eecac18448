"""Every text input of every node passes the one door, when a graph is queued and when a text comes over a link."""

import inspect
import json
import urllib.error
import urllib.request

import pytest
from atelier.craft.text_door import LONGEST_LIST, LONGEST_TEXT

TOO_LONG = "red " * (LONGEST_LIST // 4 + 1)


def text_inputs(classes):
    """(node id, class, name of a STRING input) of the whole pack."""
    for node_id, cls in classes.items():
        types = cls.INPUT_TYPES()
        for group in ("required", "optional"):
            for name, definition in types.get(group, {}).items():
                if definition[0] == "STRING":
                    yield node_id, cls, name


def test_every_text_of_every_node_is_checked_twice(executor_host):
    from atelier.nodes import NODE_CLASS_MAPPINGS

    found = list(text_inputs(NODE_CLASS_MAPPINGS))
    assert len(found) >= 20
    for node_id, cls, name in found:
        for bad in (TOO_LONG, "red\0cuff", "red \udcff cuff", "x" * 2_000):
            answer = cls.VALIDATE_INPUTS(**{name: bad})
            assert isinstance(answer, str) and f"The input {name}" in answer, (node_id, name, answer)
            run = getattr(cls(), cls.FUNCTION)
            others = {p: "" for p, about in inspect.signature(run).parameters.items() if about.default is about.empty}
            with pytest.raises(ValueError, match=f"The input {name}"):
                run(**{**others, name: bad})
        # The host checks minima and lists of choices itself, but only of inputs that VALIDATE_INPUTS does not name.
        assert inspect.getfullargspec(cls.VALIDATE_INPUTS).varkw is None
        assert name in inspect.getfullargspec(cls.VALIDATE_INPUTS).args


def test_a_text_that_is_fine_passes(executor_host):
    from atelier.nodes import NODE_CLASS_MAPPINGS

    for node_id, cls, name in text_inputs(NODE_CLASS_MAPPINGS):
        if name not in ("parts_text", "protect", "borders", "filter"):  # these have a grammar of their own
            assert cls.VALIDATE_INPUTS(**{name: "a red dress"}) is True, (node_id, name)
        assert cls.VALIDATE_INPUTS(**{name: None}) is True, (node_id, name)  # it comes over a link


def scheduler(**texts):
    inputs = {"clip": ["clip", 1], "concept": "Dress", "attributes": "Long", "negative": "", "borders": "900, 800",
              "order": "as given", "join": "accumulate", **texts}  # fmt: skip
    return {
        "clip": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "none.safetensors"}},
        "prompt": {"class_type": "AtelierHierarchicalPromptScheduler", "inputs": inputs},
        "show": {
            "class_type": "AtelierShowTimetable",
            "inputs": {"timetable": ["prompt", 2], "sigmas": ["sigmas", 0]},
        },
        "sigmas": {"class_type": "KarrasScheduler",
                   "inputs": {"steps": 4, "sigma_max": 14.0, "sigma_min": 0.1, "rho": 7.0}},
    }  # fmt: skip


def picks(text):
    return {
        "picture": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 0}},
        "text": {"class_type": "PrimitiveStringMultiline", "inputs": {"value": text}},
        "board": {"class_type": "AtelierDraftBoard",
                  "inputs": {"drafts": ["picture", 0], "pick": ["text", 0], "columns": 0}},
    }  # fmt: skip


def posted(server, prompt) -> str:
    """The host's answer to POST /prompt as text."""
    body = json.dumps({"prompt": prompt}).encode()
    request = urllib.request.Request(server.url + "/prompt", body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.read().decode()
    except urllib.error.HTTPError as refusal:
        return refusal.read().decode()


@pytest.mark.parametrize(
    "texts, says",
    [
        ({"attributes": "Long" + " " * 100_000 + "@800-300"}, "attributes has 100,012 characters; at most 20,000"),
        ({"attributes": "Long" + " " * 19_000 + "@x"}, "attributes, line 1, column 19,?006"),
        ({"concept": "x" * 100_000}, "concept has 100,000 characters; at most 20,000"),
        ({"concept": "x" * 15_000}, "concept has a word of 15,000 characters; at most 1,000"),
        ({"concept": "a" + "\u0301" * 8_000}, "concept has a word of 8,001 characters"),
        ({"attributes": "Long\n" * 50_000}, "attributes has 250,000 characters"),
        ({"attributes": "a\n" * 9_999}, "attributes has 9,999 attributes; at most 100"),
        ({"concept": "( " * 2_000 + "red" + " )" * 2_000}, "concept has 2,000 brackets inside one another; at most 50"),
        ({"concept": "red \ud800 cuff"}, "half a character"),
        ({"negative": "red\0cuff"}, "negative has a NUL character"),
    ],
)
def test_the_host_answers_with_the_sentence(server, texts, says):
    import re

    answer = posted(server, scheduler(**texts))
    assert re.search(says, answer), answer[:600]
    assert server.get("/system_stats")  # and goes on answering everybody


def test_a_linked_text_is_refused_when_the_node_runs(server):
    from atelier.dev.client import GraphRefused

    for text, says in (("1," * (LONGEST_TEXT // 2 + 1), "pick has 20,002 characters"), ("1\0", "NUL")):
        with pytest.raises(GraphRefused, match=says):
            server.client.run(picks(text))
    assert server.client.run(picks("1")).outputs["board"]["images"]
