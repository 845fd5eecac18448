"""What the host offers to choose from: samplers, schedulers, checkpoints, and where a chosen checkpoint lies."""

from __future__ import annotations


def samplers() -> list[str]:
    from comfy.samplers import SAMPLER_NAMES

    return list(SAMPLER_NAMES)


def schedulers() -> list[str]:
    from comfy.samplers import SCHEDULER_NAMES

    return list(SCHEDULER_NAMES)


def checkpoints() -> list[str]:
    """Names of the files in the host's checkpoints folders."""
    import folder_paths

    return folder_paths.get_filename_list("checkpoints")


def checkpoint_path(name: str) -> str:
    """The full path of a checkpoint by its name; the host raises FileNotFoundError where there is none."""
    import folder_paths

    return folder_paths.get_full_path_or_raise("checkpoints", name)


def embedding_folders() -> list[str]:
    """Where a text encoder looks for the embeddings that a prompt names."""
    import folder_paths

    return folder_paths.get_folder_paths("embeddings")
