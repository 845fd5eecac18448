"""The card of a network's file: the JSON in its safetensors metadata, entry "atelier".

Everybody may write such a file, so a card is checked against the table of its kind before anything is built from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

import torch
from pydantic import Field
from safetensors import SafetensorError, safe_open

from ..configuration import AnyTable, Heads, Name, OpenTable, Table, Width, check, parse, scan

AnyNetwork = TypeVar("AnyNetwork", bound=torch.nn.Module)

ENTRY = "atelier"

_Factor = Annotated[float, Field(gt=0, le=1e6)]
_Beta = Annotated[float, Field(ge=0, lt=1)]
_Number = Annotated[float, Field(ge=-1e6, le=1e6)]
_Side = Annotated[int, Field(ge=8, le=8192)]
_Size = Annotated[list[_Side], Field(min_length=2, max_length=2)]
_Steps = Annotated[int, Field(ge=1, le=1000)]
_Cfg = Annotated[float, Field(ge=0, le=100)]
_Widths = Annotated[list[Width], Field(min_length=1, max_length=16)]
_Names = Annotated[list[Name], Field(min_length=1, max_length=2000)]
_Colours = Annotated[list[Annotated[list[_Number], Field(min_length=3, max_length=3)]], Field(max_length=1024)]
_Few = Annotated[int, Field(ge=0, le=64)]
_Timestep = Annotated[int, Field(ge=0, le=9999)]


class _ScheduleTable(OpenTable):
    """Names of diffusers' scheduler configs and of the host's model settings."""

    prediction: Name | None = None
    prediction_type: Name | None = None
    variance_type: Name | None = None
    beta_schedule: Name | None = None
    beta_start: _Beta | None = None
    beta_end: _Beta | None = None
    linear_start: _Beta | None = None
    linear_end: _Beta | None = None
    trained_betas: Annotated[list[_Beta], Field(min_length=2, max_length=10_000)] | None = None
    num_train_timesteps: Annotated[int, Field(ge=2, le=10_000)] | None = None
    zsnr: bool | None = None
    rescale_betas_zero_snr: bool | None = None
    steps_offset: Annotated[int, Field(ge=0, le=1000)] | None = None
    timestep_spacing: Name | None = None
    clip_sample: bool | None = None
    clip_sample_range: _Factor | None = None
    latent_scale: _Factor | None = None
    scaling_factor: _Factor | None = None
    latent_rgb_factors: _Colours | None = None
    latent_rgb_factors_bias: Annotated[list[_Number], Field(min_length=3, max_length=3)] | None = None


class TrainedTable(OpenTable):
    """Sizes in pixels (width, height), steps and guidance that a network was trained on or is best at."""

    person: _Size | None = None
    garment: _Size | None = None
    size: _Size | None = None
    whole: bool | None = None
    steps: _Steps | None = None
    cfg: _Cfg | None = None


class TryonCard(_ScheduleTable):
    """A try-on network, and the configs of a diffusers folder laid over one another."""

    heads: Heads | None = None
    num_attention_heads: Heads | list[Heads] | None = None
    attention_head_dim: Heads | list[Heads] | None = None
    head_dim: Heads | None = None
    shift_factor: _Number | None = None
    trained: TrainedTable | None = None


class DesignerCard(_ScheduleTable):
    """A designer's UNet."""

    unet_config: dict[str, Any] | None = None
    lowest: _Timestep | None = None
    noise_scale: _Factor | None = None
    trained: TrainedTable | None = None


class PartCard(OpenTable):
    """A designer's text encoder or pose ControlNet."""

    config: dict[str, Any] | None = None
    words: Annotated[list[Annotated[int, Field(ge=0, le=2_000_000)]], Field(max_length=100_000)] | None = None


class GeneratorCard(OpenTable):
    """EquiFashion's generator, or the studio's."""

    format: Name = "ideation_generator"
    proposes: Name = "next level"
    latent_scale: _Factor | Annotated[list[_Factor], Field(min_length=1, max_length=1024)] = 1.0


class BodyNetworkTable(Table):
    widths: _Widths
    blocks: _Few
    outline: Annotated[int, Field(ge=0, le=4096)]


class BodyCard(OpenTable):
    format: Literal["body"]
    network: BodyNetworkTable


class ClassifierNetworkTable(OpenTable):
    heads: Annotated[dict[Name, _Names], Field(min_length=1, max_length=200)]
    widths: _Widths
    reads: Annotated[list[_Few], Field(min_length=4, max_length=4)]
    palette: Annotated[int, Field(ge=0, le=4096)]
    hidden: Width


class ClassifierCard(OpenTable):
    format: Literal["attribute_classifier"]
    network: ClassifierNetworkTable


class WardrobeNetworkTable(Table):
    trunk: Annotated[list[Width], Field(min_length=4, max_length=4)]
    width: Width
    depth: _Few
    heads: Heads
    queries: Annotated[int, Field(ge=1, le=1024)]
    dim: Width


class WardrobeCard(OpenTable):
    format: Literal["wardrobe"]
    network: WardrobeNetworkTable
    vocabulary: _Names
    side: _Side


def card_of(metadata: Mapping[str, str] | None, name: str) -> dict[str, Any]:
    """The card in a file's metadata, bounded but not yet checked; empty where there is none.

    name: the file's, for messages. Raises ValueError with one sentence.
    """
    card = parse((metadata or {}).get(ENTRY, "{}"), f"{name}'s metadata")
    scan(card, f"{name}'s metadata")
    return card


def checked(table: type[AnyTable], card: dict[str, Any], name: str) -> AnyTable:
    """The card as an object of its kind's table. Raises ValueError with one sentence."""
    return check(table, card, f"{name}'s metadata")


def read_network(path: Path, table: type[AnyTable], what: str) -> tuple[AnyTable, dict[str, torch.Tensor]]:
    """(card, tensors in float32) of a studio network's file. what: "studio body network" and the like.

    Raises ValueError with one sentence for a file that is missing, damaged or of another kind.
    """
    path = Path(path)
    try:
        with safe_open(str(path), "pt") as file:
            card = card_of(file.metadata(), path.name)
            if card.get("format") != get_args(table.model_fields["format"].annotation)[0]:
                raise ValueError(
                    f"{path.name} is no {what} (its metadata does not say so); restore the pack's own file."
                )
            described = checked(table, card, path.name)
            return described, {key: file.get_tensor(key).float() for key in file.keys()}  # noqa: SIM118  no mapping
    except (OSError, SafetensorError) as problem:
        raise ValueError(f"{path.name} cannot be read ({problem}); restore the pack's own file.") from problem


def fill(network: AnyNetwork, tensors: dict[str, torch.Tensor], name: str) -> AnyNetwork:
    """The network with these tensors, in eval mode. Raises ValueError naming what is missing, left over or of another
    shape; counters of batch norm may be left out."""
    expected = {key: value.shape for key, value in network.state_dict().items()}
    missing = [key for key in expected if key not in tensors and not key.endswith("num_batches_tracked")]
    unexpected = [key for key in tensors if key not in expected]
    wrong = [key for key in tensors if key in expected and tensors[key].shape != expected[key]]
    if missing or unexpected or wrong:
        raise ValueError(
            f"{name} lacks {missing[:3]}, has unknown {unexpected[:3]} or misshapen {wrong[:3]} tensors; restore the"
            " pack's own file."
        )
    network.load_state_dict(tensors, strict=False)
    return network.eval()
