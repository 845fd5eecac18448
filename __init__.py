"""Atelier: from a fashion concept to a finished look and onto a body, as ComfyUI nodes.

Entry of the pack. Nothing but the standard library is imported here: the nodes are imported when the host asks for
their list (PEP 562), which keeps start-up short and lets pytest collect the repository's root.
"""

WEB_DIRECTORY = "./web"

__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS", "WEB_DIRECTORY"]


def __getattr__(name: str) -> dict:
    if name in ("NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS"):
        from . import nodes

        return getattr(nodes, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
