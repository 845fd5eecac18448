"""The graph that Try On expands into: the other try-on nodes, so that the host's cache keeps what did not change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from comfy_execution.graph_utils import GraphBuilder

import nodes as host_nodes

if TYPE_CHECKING:
    import torch


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
    if pose is None:
        return None
    source = host_nodes.NODE_CLASS_MAPPINGS[prompt.get_node(pose[0])["class_type"]]
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
    found = {}
    for name, spec in host_nodes.NODE_CLASS_MAPPINGS[node_id].INPUT_TYPES()["required"].items():
        options = spec[1] if len(spec) > 1 else {}
        if isinstance(spec[0], list):
            found[name] = options.get("default", spec[0][0])
        elif "default" in options:
            found[name] = options["default"]
    return found


def _sample(graph, model, dress, settings: dict, steps: int, cfg: float) -> torch.Tensor:
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
