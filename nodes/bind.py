"""Binding stage: attributes stay with their garment part."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .text_inputs import takes_text

if TYPE_CHECKING:
    from ..craft.prompt.timetable import Timetable
    from ..host.host_types import Clip, Conditioning, Latent, Model

CATEGORY = "Atelier/Bind"
FORMS = ["mix", "phrases", "guidance"]


def _percent(default: float, tooltip: str):
    return ("FLOAT", {"default": default, "min": 0.0, "max": 1.0, "step": 0.01, "tooltip": tooltip})


@takes_text("text", "pairs")
class BindAttributes:
    TITLE = "Bind Attributes"
    CATEGORY = CATEGORY
    DESCRIPTION = (
        "Ties adjectives to their nouns inside the model's attention: in 'red collar, blue cuff' "
        "the red stays on the collar. "
        "Works on any UNet checkpoint with CLIP (SD1.5, SD2, SDXL)."
    )
    SEARCH_ALIASES = ["attribute binding", "colour leak", "color bleed", "bundled attention", "EquiFashion", "cutoff"]
    RETURN_TYPES = ("MODEL", "CONDITIONING", "STRING")
    RETURN_NAMES = ("model", "conditioning", "report")
    OUTPUT_TOOLTIPS = (
        "The model for the sampler. Use it together with the conditioning beside it.",
        "The positive conditioning, with the pairs marked.",
        "Which words were tied together, and their token numbers.",
    )
    FUNCTION = "execute"

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        return {
            "required": {
                "model": ("MODEL", {"tooltip": "The model that will sample."}),
                "clip": ("CLIP", {"tooltip": "The CLIP that encoded the conditioning."}),
                "conditioning": (
                    "CONDITIONING",
                    {
                        "tooltip": "The positive conditioning: of a CLIP Text Encode, "
                        "or all stages of the Hierarchical Prompt Scheduler."
                    },
                ),
                "text": (
                    "STRING",
                    {
                        "multiline": True,
                        "default": "",
                        "tooltip": "The very text that was encoded. Not needed when a timetable is connected.",
                    },
                ),
                "form": (
                    FORMS,
                    {
                        "tooltip": "mix: the words of a pair look at the same places. "
                        "phrases: each phrase is read alone, without its "
                        "neighbours. guidance (experimental, slow): a gradient "
                        "pulls the maps of a pair together and of different nouns apart."
                    },
                ),
                "strength": (
                    "FLOAT",
                    {
                        "default": 0.5,
                        "min": 0.0,
                        "max": 1.0,
                        "step": 0.05,
                        "tooltip": "0 does nothing at all; 1 is the most.",
                    },
                ),
                "start": _percent(0.0, "Where in the run binding begins: 0 is the first step."),
                "end": _percent(0.8, "Where it ends: 1 is the last step. Late steps draw detail and need it least."),
                "pairs": (
                    "STRING",
                    {
                        "multiline": True,
                        "default": "",
                        "tooltip": "Your own pairs, one a line, as `red lace: "
                        "cuff`. Empty: they are read from the text.",
                    },
                ),
            },
            "optional": {
                "timetable": (
                    "ATELIER_TIMETABLE",
                    {"tooltip": "The Hierarchical Prompt Scheduler's timetable; its texts are used instead of `text`."},
                ),
            },
        }

    def execute(
        self, model: Model, clip: Clip, conditioning: Conditioning, text: str, form: str, strength: float, start: float,
        end: float, pairs: str, timetable: Timetable | None = None,
    ) -> tuple:  # fmt: skip
        from ..host.prompt import bind_attention

        prompts = bind_attention.prompts_of(timetable) if timetable is not None else [text]
        return bind_attention.bind(
            model,
            clip,
            conditioning,
            prompts,
            own=pairs,
            form=form,
            strength=strength,
            start_percent=start,
            end_percent=end,
        )


class ShowBinding:
    TITLE = "Show Binding"
    CATEGORY = CATEGORY
    DESCRIPTION = (
        "One look into the model: the attention maps of each bound pair, before and after binding, "
        "and how far apart they are."
    )
    SEARCH_ALIASES = ["attention map", "cross attention", "Jensen-Shannon", "binding report"]
    RETURN_TYPES = ("IMAGE", "STRING")
    RETURN_NAMES = ("maps", "report")
    OUTPUT_TOOLTIPS = (
        "A row a pair: the words' map and the noun's map without binding, and with it.",
        "The Jensen-Shannon divergence of each pair before and after (0: the same map, 0.69: nothing in common).",
    )
    FUNCTION = "execute"

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        return {
            "required": {
                "model": ("MODEL", {"tooltip": "The model from Bind Attributes."}),
                "conditioning": ("CONDITIONING", {"tooltip": "The conditioning from Bind Attributes."}),
                "latent": (
                    "LATENT",
                    {"tooltip": "A finished latent to look at (or an empty one); its first picture is used."},
                ),
                "at": _percent(0.4, "Where in the run to look: 0 is pure noise, 1 the finished picture."),
                "seed": (
                    "INT",
                    {
                        "default": 0,
                        "min": 0,
                        "max": 0xFFFFFFFFFFFFFFFF,
                        "tooltip": "The noise that is laid over the latent.",
                    },
                ),
            }
        }

    def execute(self, model: Model, conditioning: Conditioning, latent: Latent, at: float, seed: int) -> tuple:
        import torch

        from ..craft.picture import attention_picture
        from ..host.prompt import bind_probe

        pairs = bind_probe.probe(model, conditioning, latent, at, seed)
        picture = torch.from_numpy(attention_picture.draw(pairs).copy()).float()[None] / 255
        lines = [f"{pair.label}: JSD {pair.before:.4f} -> {pair.after:.4f}" for pair in pairs]
        return (picture, "\n".join(lines))


NODES = [BindAttributes, ShowBinding]
