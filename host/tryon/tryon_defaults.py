"""What a try-on model was trained on: sizes, framing, steps and guidance, from its own metadata.

A file without such metadata is FastFit as published. The values ride on the model patcher as one of the host's
attachments, so that LoRA and patch nodes in between keep them.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ...models.studio import card
from .. import model_file

if TYPE_CHECKING:
    from ..host_types import Model

ATTACHMENT = "atelier.trained"


@dataclass(frozen=True)
class Trained:
    """person, garment: (width, height) of the pictures. whole: persons were seen whole, not cropped around the mask.

    steps, cfg: settings that the model's card recommends (published FastFit: 50 steps, guidance 2.5).
    """

    person: tuple[int, int] = (768, 1024)
    garment: tuple[int, int] = (384, 512)
    whole: bool = False
    steps: int = 50
    cfg: float = 2.5


PUBLISHED = Trained()


def read(path: str) -> Trained:
    """The `trained` entry of a safetensors file's card; as published without it. Raises ValueError."""
    if not Path(path).is_file():
        return PUBLISHED
    name = Path(path).name
    described = card.checked(card.TryonCard, card.card_of(model_file.read_metadata(Path(path)), name), name)
    values = described.trained.model_dump(exclude_none=True) if described.trained else {}
    known = {field.name for field in fields(Trained)}
    return replace(PUBLISHED, **{
        key: tuple(value) if isinstance(value, list) else value for key, value in values.items() if key in known
    })  # fmt: skip


def attach(model: Model, trained: Trained) -> None:
    """Put the values on a freshly loaded model patcher; its clones inherit them."""
    model.set_attachments(ATTACHMENT, trained)


def of(model: Model) -> Trained:
    """The values of a MODEL; as published where its loader gave none."""
    return model.get_attachment(ATTACHMENT) or PUBLISHED


def crop_options(
    trained: Trained, framing: str, size: str, width: int, height: int, padding: float, grow: int, feather: int
) -> dict:
    """What `dress` takes, from the widgets of Dress: framing and size as trained, or as they say."""
    pixels = {"as trained": trained.person, "keep": None, "custom": (max(width, 64), max(height, 64))}[size]
    whole = trained.whole if framing == "as trained" else framing == "whole picture"
    return {"size": pixels, "whole": whole, "padding": padding, "grow": grow, "feather": feather}
