"""The list of Atelier's nodes, stage by stage. A stage is a module here that ends in `NODES = [...]`."""

from importlib import import_module

STAGES = (
    "figure",
    "body",
    "masks",
    "edit",
    "ideate",
    "refine",
    "bind",
    "dress",
    "tryon",
    "prompt",
    "design",
    "wardrobe",
    "drawn_wardrobe",
    "describe",
    "compose",
    "measure",
)


def _node_classes() -> dict[str, type]:
    classes = {}
    for stage in STAGES:
        for cls in import_module(f".{stage}", __name__).NODES:
            classes[f"Atelier{cls.__name__}"] = cls
    return classes


NODE_CLASS_MAPPINGS = _node_classes()
NODE_DISPLAY_NAME_MAPPINGS = {node_id: cls.TITLE for node_id, cls in NODE_CLASS_MAPPINGS.items()}
