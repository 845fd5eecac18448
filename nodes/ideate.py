"""Ideation stage: many different drafts in few steps, the board to pick from, and a reference picture's fabric."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import widgets
from .text_inputs import takes_text

if TYPE_CHECKING:
    from ..host.design.ideation_source import GeneratorSource
    from ..host.host_types import Conditioning, Image, Latent, Model, Vae

CATEGORY = "Atelier/Ideate"


class LoadIdeationGenerator:
    TITLE = "Load Ideation Generator"
    CATEGORY = CATEGORY
    DESCRIPTION = (
        "A latent generator as a source of ideas for the Ideation Sampler: EquiFashion's out of a checkpoint, or the "
        "studio's own."
    )
    SEARCH_ALIASES = ["EquiFashion", "GAN", "latent generator", "ideation", "studio"]
    RETURN_TYPES = ("ATELIER_GENERATOR",)
    RETURN_NAMES = ("generator",)
    OUTPUT_TOOLTIPS = ("For the Ideation Sampler.",)
    FUNCTION = "execute"

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        from ..host.choices import checkpoints
        from ..host.design.ideation_source import generator_names

        return {
            "required": {
                "checkpoint": (
                    generator_names(checkpoints()),
                    {
                        "tooltip": "studio: the pack's own, for the studio designer. Others: a checkpoint with tensors "
                        "named latent_generator.…, from the host's checkpoints folder."
                    },
                )
            }
        }

    def execute(self, checkpoint: str) -> tuple:
        from ..host.choices import checkpoint_path
        from ..host.design import ideation_source as ideas

        if checkpoint == ideas.STUDIO and ideas.STUDIO_FILE.is_file():
            return (ideas.load_source(str(ideas.STUDIO_FILE)),)
        return (ideas.load_source(checkpoint_path(checkpoint)),)


class IdeationSampler:
    TITLE = "Ideation Sampler"
    CATEGORY = CATEGORY
    DESCRIPTION = (
        "Many drafts in few steps: stops half-way, keeps the pictures of a batch different, and can "
        "fuse in ideas from a "
        "generator or a few-step model. The unfinished latent goes on into the Refiner or any host sampler."
    )
    SEARCH_ALIASES = ["drafts", "diverse batch", "few step", "EquiFashion", "particle guidance", "brainstorm"]
    RETURN_TYPES = ("LATENT", "IMAGE", "FLOAT", "SIGMAS")
    RETURN_NAMES = ("latent", "drafts", "sigma", "sigmas_left")
    OUTPUT_TOOLTIPS = (
        "The unfinished latent, with the noise still in it. It says itself how noisy it is.",
        "What each draft would become: the model's guess of the finished picture.",
        "The noise level at which the latent stopped.",
        "The steps that are left, for SamplerCustom without new noise.",
    )
    FUNCTION = "execute"

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        from ..host.choices import schedulers

        return {
            "required": {
                "model": ("MODEL", {"tooltip": "The model that draws."}),
                "positive": ("CONDITIONING", {"tooltip": "What to draw; a schedule of several stages is welcome."}),
                "negative": ("CONDITIONING", {"tooltip": "What to avoid."}),
                "latent": ("LATENT", {"tooltip": "An empty latent; its batch is the number of drafts."}),
                "seed": widgets.seed("The noise of all drafts."),
                "steps": widgets.steps("Steps of the whole way to a finished picture.", 8),
                "stop_after": (
                    "INT",
                    {
                        "default": 5,
                        "min": 1,
                        "max": 1000,
                        "tooltip": "Steps that are run now. The rest is for the "
                        "Refiner. As many as `steps`: finished pictures.",
                    },
                ),
                "cfg": widgets.cfg("How closely the text is followed."),
                "scheduler": (
                    ["published levels", *schedulers()],
                    {
                        "tooltip": "Where the steps lie. Published levels: "
                        "evenly from level 876 down, as EquiFashion's 8 steps."
                    },
                ),
                "sampler": (
                    ["euler", "ddim"],
                    {
                        "tooltip": "The same step; with a noise mask ddim "
                        "draws its own background noise, as in the host."
                    },
                ),
                "repulsion": (
                    "FLOAT",
                    {
                        "default": 0.3,
                        "min": 0.0,
                        "max": 5.0,
                        "step": 0.05,
                        "tooltip": "How strongly the drafts of the batch push each other apart. 0 is off.",
                    },
                ),
                "fusion": (
                    "FLOAT",
                    {
                        "default": 1.0,
                        "min": 0.0,
                        "max": 2.0,
                        "step": 0.05,
                        "tooltip": "Weight of the source of ideas, if one is "
                        "connected: multiplies "
                        "(level/1000)^gamma. 0 is off.",
                    },
                ),
                "gamma": (
                    "FLOAT",
                    {
                        "default": 0.7,
                        "min": 0.05,
                        "max": 8.0,
                        "step": 0.05,
                        "tooltip": "How fast the source fades with the noise "
                        "level; 0.7 is the "
                        "published value, more fades faster.",
                    },
                ),
                "fusion_from": (
                    "FLOAT",
                    {
                        "default": 1000.0,
                        "min": 0.0,
                        "max": 1000.0,
                        "step": 1.0,
                        "tooltip": "The source is heard from this noise level (1000: pure noise) ...",
                    },
                ),
                "fusion_to": (
                    "FLOAT",
                    {"default": 0.0, "min": 0.0, "max": 1000.0, "step": 1.0, "tooltip": "... down to this one."},
                ),
                "form": (
                    ["ddim step", "published step"],
                    {
                        "tooltip": "The model's half of a fused "
                        "step. ddim step: right for few steps. "
                        "published step: as the original code "
                        "writes it; it leaves most of the noise in."
                    },
                ),
            },
            "optional": {
                "generator": ("ATELIER_GENERATOR", {"tooltip": "Ideas from EquiFashion's generator."}),
                "source_model": (
                    "MODEL",
                    {"tooltip": "Or ideas from any few-step model (LCM, Turbo, Lightning) of the same family."},
                ),
                "source_cfg": (
                    "FLOAT",
                    {
                        "default": 1.0,
                        "min": 0.0,
                        "max": 30.0,
                        "step": 0.1,
                        "tooltip": "cfg of the source model; few-step models want 1.",
                    },
                ),
                "vae": ("VAE", {"tooltip": "Decodes the drafts. Without it you see quick, coarse colours."}),
            },
        }

    def execute(
        self,
        model: Model,
        positive: Conditioning,
        negative: Conditioning,
        latent: Latent,
        seed: int,
        steps: int,
        stop_after: int,
        cfg: float,
        scheduler: str,
        sampler: str,
        repulsion: float,
        fusion: float,
        gamma: float,
        fusion_from: float,
        fusion_to: float,
        form: str,
        generator: GeneratorSource | None = None,
        source_model: Model | None = None,
        source_cfg: float = 1.0,
        vae: Vae | None = None,
    ) -> tuple:
        from ..host.design import draft_pictures, ideation_sampler, ideation_source, unfinished_latent

        draft_pictures.can_draw(model, vae)
        source = ideation_source.choose(generator, source_model, source_cfg)
        settings = ideation_sampler.Fusion(fusion, gamma, fusion_from, fusion_to, form)
        out, sigma, left = ideation_sampler.run(
            model,
            positive,
            negative,
            latent,
            seed=seed,
            steps=steps,
            stop_after=stop_after,
            cfg=cfg,
            scheduler=scheduler,
            sampler=sampler,
            repulsion=repulsion,
            settings=settings,
            source=source,
        )
        return (out, draft_pictures.pictures(model, vae, out[unfinished_latent.KEY].drafts), sigma, left)


@takes_text("pick")
class DraftBoard:
    TITLE = "Draft Board"
    CATEGORY = CATEGORY
    DESCRIPTION = "All drafts on one sheet with numbers. Write the numbers of the ones to go on with."
    SEARCH_ALIASES = ["contact sheet", "pick latent", "choose draft", "grid", "select from batch"]
    RETURN_TYPES = ("IMAGE", "IMAGE", "LATENT")
    RETURN_NAMES = ("board", "picked", "picked_latent")
    OUTPUT_TOOLTIPS = ("The numbered sheet.", "The chosen drafts.", "Their latents, for the Refiner or a sampler.")
    FUNCTION = "execute"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        return {
            "required": {
                "drafts": ("IMAGE", {"tooltip": "The drafts of the Ideation Sampler, or any batch of pictures."}),
                "pick": (
                    "STRING",
                    {"default": "all", "tooltip": "Numbers as on the sheet: `2`, `1, 4`, `1-3`, or `all`."},
                ),
                "columns": ("INT", {"default": 0, "min": 0, "max": 32, "tooltip": "Columns; 0 makes it about square."}),
            },
            "optional": {"latent": ("LATENT", {"tooltip": "The latent of the same sampler, picked alike."})},
        }

    def execute(self, drafts: Image, pick: str, columns: int, latent: Latent | None = None) -> dict:
        from ..host.design import draft_board
        from ..host.images import preview
        from ..host.run_control import blocked

        sheet, chosen, chosen_latent = draft_board.board(drafts, latent, pick, columns)
        if chosen_latent is None:
            chosen_latent = blocked("Draft Board has no latent to pick from; connect the sampler's latent to it.")
        return {"ui": {"images": preview(sheet, "atelier_drafts")}, "result": (sheet, chosen, chosen_latent)}


class ReferenceAttention:
    TITLE = "Reference Attention"
    CATEGORY = CATEGORY
    DESCRIPTION = (
        "The fabric of a swatch or garment picture for any UNet checkpoint, without training: its "
        "attention keys and values "
        "are made once and read at every step."
    )
    SEARCH_ALIASES = ["reference only", "fabric transfer", "texture", "swatch", "style reference", "IP-Adapter"]
    RETURN_TYPES = ("MODEL",)
    OUTPUT_TOOLTIPS = ("The model for the sampler.",)
    FUNCTION = "execute"

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        from ..host.design.reference_attention import APPLY_TO

        percent = {"min": 0.0, "max": 1.0, "step": 0.01}
        return {
            "required": {
                "model": ("MODEL", {"tooltip": "Any UNet checkpoint: SD1.5, SD2, SDXL and kin."}),
                "vae": ("VAE", {"tooltip": "The checkpoint's VAE."}),
                "image": ("IMAGE", {"tooltip": "The swatch or garment; several pictures are all read."}),
                "strength": (
                    "FLOAT",
                    {
                        "default": 1.0,
                        "min": 0.0,
                        "max": 2.0,
                        "step": 0.05,
                        "tooltip": "0 does nothing; 1 reads the reference like the picture itself; more exaggerates.",
                    },
                ),
                "noise_level": (
                    "FLOAT",
                    {
                        "default": 50.0,
                        "min": 0.0,
                        "max": 999.0,
                        "step": 1.0,
                        "tooltip": "The noise level at which "
                        "the reference is looked at, of "
                        "1000. Low keeps weave and "
                        "print, high only colour and shape.",
                    },
                ),
                "start": (
                    "FLOAT",
                    {"default": 0.0, **percent, "tooltip": "Where in the run reading begins: 0 is the first step."},
                ),
                "end": ("FLOAT", {"default": 1.0, **percent, "tooltip": "Where it ends."}),
                "first_block": (
                    "INT",
                    {
                        "default": 0,
                        "min": 0,
                        "max": 1000,
                        "tooltip": "First attention block that "
                        "reads, counted from the input. "
                        "Early and late blocks carry "
                        "texture, the middle carries composition.",
                    },
                ),
                "last_block": (
                    "INT",
                    {
                        "default": 1000,
                        "min": 0,
                        "max": 1000,
                        "tooltip": "Last attention block that reads; a large number means the last.",
                    },
                ),
                "size": (
                    "INT",
                    {
                        "default": 512,
                        "min": 64,
                        "max": 2048,
                        "step": 16,
                        "tooltip": "The longer side to which the reference is "
                        "fitted. Time and memory grow with its area.",
                    },
                ),
                "apply_to": (
                    list(APPLY_TO),
                    {
                        "tooltip": "prompt only: guidance (cfg) then also "
                        "strengthens the reference. prompt and negative: gentler."
                    },
                ),
            }
        }

    def execute(
        self,
        model: Model,
        vae: Vae,
        image: Image,
        strength: float,
        noise_level: float,
        start: float,
        end: float,
        first_block: int,
        last_block: int,
        size: int,
        apply_to: str,
    ) -> tuple:
        from ..host.design import reference_attention

        if strength == 0:
            return (model,)
        latents = reference_attention.encode(vae, image, size)
        return (
            reference_attention.attach(
                model,
                latents,
                strength=strength,
                level=noise_level,
                start_percent=start,
                end_percent=end,
                first_block=first_block,
                last_block=last_block,
                apply_to=apply_to,
            ),
        )


NODES = [LoadIdeationGenerator, IdeationSampler, DraftBoard, ReferenceAttention]
