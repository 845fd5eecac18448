"""The designer: the network that draws from text, and everything that belongs to it, in one loader."""

from .prompt import CATEGORY


class LoadDesigner:
    TITLE = "Load Designer"
    CATEGORY = CATEGORY
    DESCRIPTION = (
        "Loads a small fashion designer as the host's own MODEL, CLIP, VAE and CONTROL_NET: every sampler, LoRA, "
        "preview and ControlNet node works on it. 'studio' is the pack's own: no download, drawn figures only."
    )
    SEARCH_ALIASES = ["studio", "load checkpoint", "text to image", "croquis", "fashion design", "no checkpoint"]
    RETURN_TYPES = ("MODEL", "CLIP", "VAE", "CONTROL_NET")
    RETURN_NAMES = ("model", "clip", "vae", "control_net")
    OUTPUT_TOOLTIPS = (
        "The network that draws, for any sampler.",
        "Its text encoder, for prompts.",
        "Its VAE.",
        "Its pose ControlNet, for Apply ControlNet or Pose Schedule: give it a drawn skeleton.",
    )
    FUNCTION = "execute"

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        from ..host.design.load_designer import designer_files

        return {
            "required": {
                "designer": (
                    designer_files(),
                    {
                        "tooltip": "studio: the pack's own, for 192 x 256 pictures of drawn figures. Others: a folder "
                        "with the files that `python dev.py train designer` writes, in ComfyUI/models/atelier/designer."
                    },
                )
            }
        }

    def execute(self, designer: str) -> tuple:
        import folder_paths
        from comfy_execution.graph_utils import ExecutionBlocker

        from ..host.design import load_designer

        made = load_designer.load(load_designer.resolve(designer), folder_paths.get_folder_paths("embeddings"))
        nothing = f"{designer} brings no pose ControlNet; load one with Load ControlNet Model, or do without."
        return (*made[:3], made.control_net or ExecutionBlocker(nothing))


NODES = [LoadDesigner]
