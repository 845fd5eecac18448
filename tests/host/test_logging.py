"""What a report of a problem can quote: loaders and fallbacks log what they found and chose, each under its module."""

import ast
import logging
from pathlib import Path

import numpy as np
import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
LAYERS = ("host", "nodes", "craft", "models", "croquis")


@pytest.fixture
def lines(caplog):
    caplog.set_level(logging.INFO)
    return lambda: [(record.name, record.levelname, record.getMessage()) for record in caplog.records]


@pytest.fixture
def picture():
    from atelier.croquis import random_figure, render

    return render(random_figure(1, ("upper", "lower")), 192, 256, ("person",)).person


def test_auto_logs_which_backends_cannot_run(host, lines, picture, monkeypatch):
    from atelier.host.body import body_backends, openpose_body

    monkeypatch.setattr(body_backends, "photo_problem", lambda: "ai-edge-litert is not installed.")
    monkeypatch.setattr(openpose_body, "openpose_problem", lambda: None)
    nobody = body_backends.Found(np.zeros((0, 18, 3), np.float32), None, None, None, "none")
    monkeypatch.setattr(openpose_body, "openpose_backend", lambda person: lambda image: nobody)
    found = body_backends.open_backend("auto")(picture)
    assert found.source.startswith("studio")
    logged = [(level, text) for name, level, text in lines() if name == "atelier.host.body.body_backends"]
    assert logged == [
        ("INFO", "Detect Body: the photo backend cannot run: ai-edge-litert is not installed."),
        ("INFO", "Detect Body: the controlnet-aux backend found nobody"),
    ]


def test_control_a_chosen_backend_logs_no_fallback(host, lines, picture):
    from atelier.host.body import body_backends

    body_backends.open_backend("studio")(picture)
    assert not [text for name, _, text in lines() if name.startswith("atelier")]


def test_loaders_log_what_they_found(host, lines):
    from atelier.host.tryon import load_tryon

    load_tryon.load(str(load_tryon.STUDIO_FILE))
    (text,) = [text for name, _, text in lines() if name == "atelier.host.tryon.load_tryon"]
    assert text.startswith("Load Try-On Model: tryon.safetensors, 32 latent channels, ")
    assert "predicts v" in text and text.endswith("VAE of the file")


def test_kv_without_room_is_logged(host, lines, monkeypatch):
    from atelier.host.tryon import garment_conditioning

    kv = ((torch.zeros(1, 4, 8), torch.zeros(1, 4, 8)),)
    monkeypatch.setattr(garment_conditioning.comfy.model_management, "get_free_memory", lambda device: 0)
    assert garment_conditioning._near(kv, torch.device("meta")) is kv
    assert any("meta has no room" in text and "layer by layer" in text for _, _, text in lines())


def test_a_masker_without_opencv_is_logged(lines, monkeypatch):
    from atelier.craft.body import published_masker

    monkeypatch.setattr(published_masker, "has_opencv", lambda: False)
    body = np.zeros((64, 48), np.uint8)
    body[10:50, 15:30] = 1
    published_masker.published_mask(body, body, body, "upper", opencv=False)
    assert not lines()
    published_masker.published_mask(body, body, body, "upper")
    assert [text for _, _, text in lines() if "OpenCV is not installed" in text]


def written_badly(code: str) -> list[str]:
    """Calls that print or that log under no name of a module."""
    found = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            own = name == "logging.getLogger" and [ast.unparse(arg) for arg in node.args] == ["__name__"]
            if name == "print" or (name.startswith("logging.") and not own):
                found.append(f"{node.lineno}: {name}")
    return found


def test_nothing_prints_and_every_logger_has_its_modules_name():
    files = [path for layer in LAYERS for path in (ROOT / layer).rglob("*.py")]
    bad = {path.name: written_badly(path.read_text(encoding="utf-8")) for path in files}
    assert not {name: found for name, found in bad.items() if found}


def test_control_prints_and_root_loggers_are_found():
    code = 'import logging\nprint("x")\nlogging.info("x")\nlogging.getLogger("x")\nLOG = logging.getLogger(__name__)\n'
    assert written_badly(code) == ["2: print", "3: logging.info", "4: logging.getLogger"]
