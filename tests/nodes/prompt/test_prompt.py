"""Prompt nodes in the real host: graphs run by its executor on tiny real networks."""

import pytest
import torch
from atelier.tests.nodes.prompt.prompt_graph import keep, outputs, scheduler
from atelier.tests.nodes.prompt.prompt_networks import CONCEPT, encode, tiny_clip


def test_the_entries_are_the_hosts_own_encodings_in_windows(graph):
    graph.run({**scheduler(), **outputs()})
    positive, negative, timetable = (graph.kept[name] for name in ("positive", "negative", "timetable"))
    texts = [CONCEPT, f"{CONCEPT}, Long", f"{CONCEPT}, Long, V-Neck", f"{CONCEPT}, Long, V-Neck, Ruffle Hem"]
    assert [stage.text for stage in timetable.stages] == texts
    clip = tiny_clip("sd15")
    for entry, text, (start, end) in zip(positive, texts, timetable.windows, strict=True):
        (expected,) = encode(clip, text)
        assert torch.equal(entry[0], expected[0]) and torch.equal(
            entry[1]["pooled_output"], expected[1]["pooled_output"]
        )
        assert (entry[1]["timestep_start"], entry[1]["timestep_end"]) == (start, end)
    assert (
        len(negative) == 1
        and torch.equal(negative[0][0], encode(clip, "blurry")[0][0])
        and "timestep_end" not in negative[0][1]
    )


def test_stressed_attributes_are_guided_against_the_concept(graph):
    graph.run({**scheduler(stress_attributes=True), **outputs()})
    positive, negative, timetable = (graph.kept[name] for name in ("positive", "negative", "timetable"))
    clip = tiny_clip("sd15")
    for entry, text in zip(negative, ("blurry", f"{CONCEPT}, blurry"), strict=True):
        assert torch.equal(entry[0], encode(clip, text)[0][0])
    first = timetable.windows[0]
    assert (negative[0][1]["timestep_start"], negative[0][1]["timestep_end"]) == first
    assert negative[1][1]["timestep_start"] == positive[1][1]["timestep_start"] < first[1]
    assert negative[1][1]["timestep_end"] == positive[-1][1]["timestep_end"]
    with pytest.raises(AssertionError, match="no concept of its own"):
        graph.run({**scheduler(stress_attributes=True, join="published caption"), **outputs()})


def test_unchanged_stages_stay_in_the_hosts_cache(graph):
    graph.run({**scheduler(), **outputs()})
    assert len(graph.encoded) == 5
    graph.run({**scheduler(attributes="Long\nV-Neck\nSlit Hem"), **outputs()})
    assert len(graph.encoded) == 6, "only the stage with the new hem is encoded again"
    assert graph.kept["timetable"].stages[-1].text.endswith("Slit Hem")
    graph.run({**scheduler(attributes="Long\nV-Neck\nSlit Hem", borders="850, 700, 300"), **outputs()})
    assert len(graph.encoded) == 6, "borders alone need no encoding"
    assert graph.kept["timetable"].stages[0].stop == 850


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"attributes": "Long\nV-Neck @300-800"}, "attributes, line 2, column 9"),
        ({"concept": "Dress (red"}, "concept, line 1, column 7"),
        ({"borders": "900, 950"}, "borders, line 1, column 6"),
    ],
)
def test_mistakes_are_found_before_anything_runs(graph, changes, place):
    assert graph.run.validate({**scheduler(), **outputs()})[0]
    valid, _, _, node_errors = graph.run.validate({**scheduler(**changes), **outputs()})
    assert not valid and any(place in problem["details"] for problem in node_errors["prompt"]["errors"])
    assert graph.encoded == []


def test_linked_text_is_checked_when_it_arrives(graph):
    text = {"text": {"class_type": "PrimitiveStringMultiline", "inputs": {"value": "lace *x"}}}
    with pytest.raises(AssertionError, match="line 1, column 7"):
        graph.run({**scheduler(attributes=["text", 0]), **text, **outputs()})


def test_attribute_nodes_chain_and_order_by_mask(graph):
    def attribute(mask_size, previous=None, **changes):
        inputs = {
            "preset": "none",
            "words": "",
            "weight": 1.0,
            "when": "by order",
            "from_level": 1000,
            "to_level": 0,
            **changes,
        }
        inputs |= {"attributes": [previous, 0]} if previous else {}
        inputs |= {"mask": [mask_size, 0]} if mask_size else {}
        return {"class_type": "AtelierAttribute", "inputs": inputs}

    def mask(value):
        return {"class_type": "SolidMask", "inputs": {"value": value, "width": 16, "height": 16}}

    chain = {
        "large": mask(1.0), "none": mask(0.0),
        "a": attribute("none", preset="hem: Slit Hem", words="red", weight=1.2),
        "b": attribute("large", "a", preset="collar: V-Neck"),
        "c": attribute("none", "b", words="print @400-100", when="own range", from_level=300, to_level=200),
    }  # fmt: skip
    graph.run({**scheduler(attributes="", more_attributes=["c", 0], order="mask area"), **chain, **outputs()})
    timetable = graph.kept["timetable"]
    assert timetable.text_at(850) == f"{CONCEPT}, V-Neck"
    assert timetable.text_at(750) == f"{CONCEPT}, V-Neck, (red Slit Hem:1.2)"
    assert "print" in timetable.text_at(250) and "print" not in timetable.text_at(350)
    with pytest.raises(AssertionError, match="needs a mask"):
        graph.run({**scheduler(more_attributes=["c", 0], order="mask area"), **chain, **outputs()})
    valid, _, _, errors = graph.run.validate(
        {**scheduler(more_attributes=["c", 0]), **chain, "c": attribute(None), **outputs()}
    )
    assert not valid and "says nothing" in str(errors)


def test_published_caption_keeps_brackets_as_text_and_the_first_77_tokens(graph):
    long = "Dress, " + ", ".join(f"(word {i}:1.4)" for i in range(40))
    graph.run({**scheduler(concept=long, attributes="", join="published caption", negative=long), **outputs()})
    tokens = [pair for text in graph.encoded for chunk in text["l"] for pair in chunk]
    assert {weight for _, weight in tokens} == {1.0}
    for conditioning in (graph.kept["positive"], graph.kept["negative"]):
        assert all(entry[0].shape[1] == 77 for entry in conditioning)
    graph.run(
        {**scheduler(concept=long, attributes=""), **outputs()}
    )  # the control: elsewhere they are weights, and all is kept
    assert {weight for chunk in graph.encoded[-1]["l"] for _, weight in chunk} <= {1.0, 1.4} != {1.0}
    assert graph.kept["positive"][0][0].shape[1] > 77


def test_show_timetable(graph):
    sigmas = {
        "sigmas": {
            "class_type": "BasicScheduler",
            "inputs": {"model": ["model", 0], "scheduler": "ddim_uniform", "steps": 10, "denoise": 1.0},
        }
    }

    def show(**extra):
        return {
            "show": {
                "class_type": "AtelierShowTimetable",
                "inputs": {"timetable": ["prompt", 2], "sigmas": ["sigmas", 0], **extra},
            }
        }

    many = "Long\nLong Sleeve\nRaglan Sleeve\nV-Neck\nSlit Hem"
    done = graph.run({**scheduler(attributes=many), **sigmas, **show(), **keep(picture=["show", 0], text=["show", 1])})
    text = done.outputs["show"]["text"][0]
    assert text == graph.kept["text"] and "No step reaches stage 3 (levels 800-710): + Long Sleeve" in text
    assert done.outputs["show"]["images"][0]["type"] == "temp"
    assert (
        graph.kept["picture"].shape[0] == 1
        and graph.kept["picture"].shape[-1] == 3
        and graph.kept["picture"].max() <= 1
    )
    graph.run({**scheduler(attributes=many, model=None), **sigmas, **show(), **keep(text=["show", 1])})
    assert "standard noise schedule assumed" in graph.kept["text"]
    graph.run(
        {**scheduler(attributes=many, model=None), **sigmas, **show(model=["model", 0]), **keep(text=["show", 1])}
    )
    assert "assumed" not in graph.kept["text"] and " 801" in graph.kept["text"]
    flow = scheduler(attributes=many, model=None) | {"model": {"class_type": "TinyFlow", "inputs": {}}}
    sigmas["sigmas"]["inputs"]["scheduler"] = "simple"
    with pytest.raises(AssertionError, match="connect the MODEL"):
        graph.run({**flow, **sigmas, **show()})
    graph.run({**flow, **sigmas, **show(model=["model", 0]), **keep(text=["show", 1])})
    # levels 1000, 900, 800 ...: a step on a border belongs to the noisier stage, exact also in float32
    assert [f"{level}  {stage}" in graph.kept["text"] for level, stage in ((900, 1), (800, 2), (700, 4))] == [True] * 3


def test_stage_window_by_hand_equals_the_scheduler(graph):
    def text(words):
        return {"class_type": "CLIPTextEncode", "inputs": {"clip": ["clip", 0], "text": words}}

    def window(words, start, stop, **extra):
        levels = {"from_level": start, "to_level": stop, "first_77_tokens": False, "model": ["model", 0]}
        return {"class_type": "AtelierStageWindow", "inputs": {"conditioning": [words, 0], **levels, **extra}}

    by_hand = {
        "t1": text(CONCEPT), "t2": text(f"{CONCEPT}, Long"),
        "w1": window("t1", 1000, 900), "w2": window("t2", 900, 0, append_to=["w1", 0]),
    }  # fmt: skip
    graph.run({**scheduler(attributes="Long"), **by_hand, **outputs(), **keep(hand=["w2", 0])})
    for made, expected in zip(graph.kept["hand"], graph.kept["positive"], strict=True):
        assert torch.equal(made[0], expected[0]) and made[1]["timestep_start"] == expected[1]["timestep_start"]
        assert made[1]["timestep_end"] == expected[1]["timestep_end"]
