"""Progress events in ComfyUI, and Cancel pressed at a certain step."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import comfy.model_management
import comfy.utils

THROTTLES = ("PROGRESS_THROTTLE_MIN_INTERVAL", "PROGRESS_THROTTLE_MIN_PERCENT")
"""Newer ComfyUI versions skip events in quick succession."""


@contextmanager
def progress_hook(hook: Callable[..., None]) -> Iterator[None]:
    """Set a global progress hook as the server does, without skipped steps."""
    before = {
        name: getattr(comfy.utils, name) for name in (*THROTTLES, "PROGRESS_BAR_HOOK") if hasattr(comfy.utils, name)
    }
    for name in before:
        setattr(comfy.utils, name, 0.0)
    comfy.utils.set_progress_bar_global_hook(hook)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(comfy.utils, name, value)


def cancel_at(step: int) -> Callable[..., None]:
    """Make a server's hook that presses Cancel once, at the event of this step."""
    ahead = [step]

    def hook(value: int, total: int, *rest: Any, **named: Any) -> None:
        if ahead == [value]:
            ahead.clear()
            comfy.model_management.interrupt_current_processing()
        comfy.model_management.throw_exception_if_processing_interrupted()

    return hook
