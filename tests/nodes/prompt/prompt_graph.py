"""Graphs around the Hierarchical Prompt Scheduler, in the host's API form."""

from .prompt_networks import CONCEPT


def scheduler(**changes):
    inputs = {
        "clip": ["clip", 0], "concept": CONCEPT, "attributes": "Long\nV-Neck\nRuffle Hem", "negative": "blurry",
        "borders": "900, 800, 710, 630, 560, 500", "order": "published", "join": "accumulate", "model": ["model", 0],
    }  # fmt: skip
    inputs.update(changes)
    return {
        "clip": {"class_type": "TinyClip", "inputs": {}},
        "model": {"class_type": "TinyModel", "inputs": {}},
        "prompt": {
            "class_type": "AtelierHierarchicalPromptScheduler",
            "inputs": {k: v for k, v in inputs.items() if v is not None},
        },
    }


def keep(**links):
    return {
        f"keep {name}": {"class_type": "Keep", "inputs": {"name": name, "value": link}} for name, link in links.items()
    }


def outputs():
    return keep(positive=["prompt", 0], negative=["prompt", 1], timetable=["prompt", 2])
