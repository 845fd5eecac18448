"""The graphs that Encode Garments and Try On expand into, and what the nodes in them do.

Every part that costs something is a node of its own: the host's cache keeps all parts whose inputs did not change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from .sockets import ContentConstant, Garment, Outfit

if TYPE_CHECKING:
    from ..host.host_types import Model, Vae
    from ..host.tryon.encoded_garment import GarmentKV

ENCODE, COMBINE = "AtelierEncodeOneGarment", "AtelierCombineGarments"
MOST_PARTS = 8  # inputs of one Combine node; more garments are combined in several


class NoGarment(NamedTuple):
    """What guidance compares with: the zero latent of a category at a size (0: the model's own)."""

    category: str
    size: tuple[int, int]


def encode_graph(model: list, vae: list, outfit: Outfit, for_guidance: bool) -> dict:
    """One encode a garment (and one a category and size for guidance) and what puts them together, on raw links."""
    from comfy_execution.graph_utils import GraphBuilder

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


def single(garment: ContentConstant | Outfit) -> Garment | NoGarment:
    """What one encode node works on: the constant of an expanded graph, or the one garment of an outfit."""
    if isinstance(garment, ContentConstant):
        return garment.value
    if len(garment.garments) != 1:
        raise ValueError(
            f"Encode One Garment was given an outfit of {len(garment.garments)} garments; use Encode Garments for it."
        )
    return garment.garments[0]


def encode_part(model: Model, vae: Vae, part: Garment | NoGarment) -> GarmentKV:
    """The work of one encode node: a garment (one a row where it has several pictures), or guidance's counterpart."""
    from ..host.tryon import garment_kv, tryon_defaults

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
    from ..host.tryon import garment_kv

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


def checked_links(inputs: dict, steps: int, cfg: float) -> dict:
    """The raw links among Try On's inputs, or ValueError in one sentence for what is missing."""
    links = {
        name: inputs[name]
        for name in ("person", "outfit", "mask", "pose", "model", "vae")
        if inputs.get(name) is not None
    }
    if ("model" in links) != ("vae" in links):
        raise ValueError("Try On takes model and vae together: connect both outputs of Load Try-On Model, or neither.")
    if "model" in links and not (steps and cfg):
        raise ValueError(
            "With a connected model, Try On cannot read the model's card: set steps and cfg to more than 0."
        )
    return links


def tryon_graph(links: dict, settings: dict, steps: int, cfg: float) -> dict:
    """Load, encode, dress, sample, decode, composite; in front of that the mask, where none is connected.

    links: raw links by name: person, outfit, and where connected mask, pose, model, vae; joints: the pose where it is
    POSE_KEYPOINT, else None. settings: the widgets.
    """
    from comfy_execution.graph_utils import GraphBuilder

    graph = GraphBuilder()
    if "mask" not in links:
        links = _with_mask(graph, links)
    model, vae = links.get("model"), links.get("vae")
    if model is None:
        loader = graph.node("AtelierLoadTryOnModel", "load", model_name=settings["model_name"], weights="host's choice")
        model, vae = loader.out(0), loader.out(1)
    garments = graph.node(
        "AtelierEncodeGarments", "encode", model=model, vae=vae, outfit=links["outfit"], for_guidance=cfg != 1.0
    )
    pose = {"pose": links["pose"]} if "pose" in links else {}
    dress = graph.node(
        "AtelierDress", "dress", model=model, vae=vae, person=links["person"], mask=links["mask"],
        garments=garments.out(0), **pose,
        **{name: settings[name] for name in ("framing", "size", "width", "height", "padding", "grow", "feather")},
    )  # fmt: skip
    latent = _sample(graph, model, dress, settings, steps, cfg)
    decoded = graph.node("VAEDecode", "decode", samples=latent, vae=vae)
    composite = graph.node(
        "AtelierComposite", "composite", stitch=dress.out(3), image=decoded.out(0), seam_colour=settings["seam_colour"]
    )
    return {"result": (composite.out(0),), "expand": graph.finalize()}


def joints_link(pose: list | None, prompt: Any) -> list | None:
    """The pose's link if it carries POSE_KEYPOINT, by the graph that it comes from; None for a drawn pose or none."""
    import nodes

    if pose is None:
        return None
    source = nodes.NODE_CLASS_MAPPINGS[prompt.get_node(pose[0])["class_type"]]
    return pose if source.RETURN_TYPES[int(pose[1])] == "POSE_KEYPOINT" else None


def _with_mask(graph, links: dict) -> dict:
    """The links with the mask that Agnostic Mask makes for this outfit, from the pose or Detect Body's joints."""
    person, parts = links["person"], {}
    joints, pose = links["joints"], links.get("pose")
    if joints is None:
        body = graph.node("AtelierDetectBody", "body", image=person, **_defaults("AtelierDetectBody"))
        joints, parts = body.out(0), {"parts": body.out(1)}
    mask = graph.node(
        "AtelierAgnosticMask", "mask", pose_keypoint=joints, image=person, outfit=links["outfit"], **parts,
        **_defaults("AtelierAgnosticMask"),
    )  # fmt: skip
    return {**links, "mask": mask.out(0), "pose": pose or joints}


def _defaults(node_id: str) -> dict:
    """The required widgets of a node at their defaults."""
    import nodes

    found = {}
    for name, spec in nodes.NODE_CLASS_MAPPINGS[node_id].INPUT_TYPES()["required"].items():
        options = spec[1] if len(spec) > 1 else {}
        if isinstance(spec[0], list):
            found[name] = options.get("default", spec[0][0])
        elif "default" in options:
            found[name] = options["default"]
    return found


def _sample(graph, model, dress, settings: dict, steps: int, cfg: float):
    ends = {"positive": dress.out(0), "negative": dress.out(1), "latent_image": dress.out(2)}
    if settings["sampler_name"] != "published":
        return graph.node(
            "KSampler", "sample", model=model, seed=settings["seed"], steps=steps, cfg=cfg, denoise=1.0,
            sampler_name=settings["sampler_name"], scheduler=settings["scheduler"], **ends,
        ).out(0)  # fmt: skip
    sampler = graph.node("AtelierPublishedSampler", "sampler")
    schedule = graph.node("AtelierPublishedSchedule", "schedule", model=model, steps=steps)
    return graph.node(
        "SamplerCustom", "sample", model=model, add_noise=True, noise_seed=settings["seed"], cfg=cfg,
        sampler=sampler.out(0), sigmas=schedule.out(0), **ends,
    ).out(0)  # fmt: skip
