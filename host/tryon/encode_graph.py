"""The graph that Encode Garments expands into, and what the nodes in it do.

Every garment is a node of its own: the host's cache keeps those whose inputs did not change. An outfit holds
`garments`; each has picture [B,H,W,3], category, fit, size (width, height) and content, a hash of all of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from comfy_execution.graph_utils import GraphBuilder

from . import garment_kv, tryon_defaults

if TYPE_CHECKING:
    from ..host_types import Model, Vae
    from .encoded_garment import GarmentKV

ENCODE, COMBINE = "AtelierEncodeOneGarment", "AtelierCombineGarments"
MOST_PARTS = 8  # inputs of one Combine node; more garments are combined in several


class ContentConstant(str):
    """A value as a constant of an expanded graph.

    The host's cache compares the constants of expanded nodes, and a tensor never equals itself there. To the cache
    this is the text that names the content; `value` is what the node works on.
    """

    value: object

    @classmethod
    def of(cls, name: str, value: object) -> ContentConstant:
        constant = cls(name)
        constant.value = value
        return constant


class NoGarment(NamedTuple):
    """What guidance compares with: the zero latent of a category at a size (0: the model's own)."""

    category: str
    size: tuple[int, int]


def encode_graph(model: list, vae: list, outfit: Any, for_guidance: bool) -> dict:
    """One encode a garment (and one a category and size for guidance) and what puts them together, on raw links."""
    graph = GraphBuilder()
    constants = [ContentConstant.of(garment.content, garment) for garment in outfit.garments]
    if for_guidance:
        kinds = dict.fromkeys(NoGarment(garment.category, garment.size) for garment in outfit.garments)
        constants += [ContentConstant.of(f"guidance {kind.category} {kind.size}", kind) for kind in kinds]
    parts = [
        graph.node(ENCODE, f"garment{index}", model=model, vae=vae, garment=constant).out(0)
        for index, constant in enumerate(constants)
    ]
    level = 0
    while len(parts) > 1:
        groups = [parts[start : start + MOST_PARTS] for start in range(0, len(parts), MOST_PARTS)]
        parts = [_combine(graph, group, f"combine{level}.{index}") for index, group in enumerate(groups)]
        level += 1
    return {"result": (parts[0],), "expand": graph.finalize()}


def _combine(graph, parts: list, name: str):
    inputs = {f"garments_{i + 1}": part for i, part in enumerate(parts)}
    return graph.node(COMBINE, name, worn="together", **inputs).out(0)


def single(garment: Any) -> Any:
    """What one encode node works on: the constant of an expanded graph, or the one garment of an outfit."""
    if isinstance(garment, ContentConstant):
        return garment.value
    if len(garment.garments) != 1:
        raise ValueError(
            f"Encode One Garment was given an outfit of {len(garment.garments)} garments; use Encode Garments for it."
        )
    return garment.garments[0]


def encode_part(model: Model, vae: Vae, part: Any) -> GarmentKV:
    """The work of one encode node: a garment (one a row where it has several pictures), or guidance's counterpart."""
    trained, cell = tryon_defaults.of(model), vae.spacial_compression_encode()
    width, height = (-(-(own or default) // cell) * cell for own, default in zip(part.size, trained.garment))
    if isinstance(part, NoGarment):
        return garment_kv.encode_unconditional(model, part.category, width, height, cell)
    rows = [
        garment_kv.encode(model, vae, picture[None], part.category, None, part.fit, width, height)
        for picture in part.picture
    ]
    return rows[0] if len(rows) == 1 else garment_kv.batch(rows)


def combine(parts: list, worn: str) -> GarmentKV:
    """Several GARMENT_KV in one: worn together, or each by one person of a batch."""
    return garment_kv.merge(parts) if worn == "together" else garment_kv.batch(parts)


def size_text(kv: GarmentKV) -> str:
    """What the node shows: how many garments, and the memory of their K,V."""
    counts = [len(outfit) for outfit in kv.outfits]
    garments = sum(counts)
    if not garments and kv.unconditional:
        return f"guidance, {kv.size_mib:.1f} MiB"
    what = "no garment" if not garments else "1 garment" if garments == 1 else f"{garments} garments"
    people = f" for {len(counts)} people" if len(counts) > 1 else ""
    return f"{what}{people}, {kv.size_mib:.1f} MiB of K,V"
