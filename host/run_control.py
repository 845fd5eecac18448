"""What a running node tells the host and hears from it: progress, Cancel, and outputs that hold nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from comfy_execution.graph_utils import ExecutionBlocker


def progress(count: int) -> Callable[[], None]:
    """A function to call after each of `count` pieces of work: it moves the node's bar and stops the run on Cancel."""
    import comfy.model_management
    import comfy.utils

    bar = comfy.utils.ProgressBar(count)

    def step() -> None:
        bar.update(1)
        comfy.model_management.throw_exception_if_processing_interrupted()

    return step


def blocked(message: str) -> ExecutionBlocker:
    """An output that holds nothing: nodes behind it do not run, and the page shows `message` there."""
    from comfy_execution.graph_utils import ExecutionBlocker

    return ExecutionBlocker(message)
