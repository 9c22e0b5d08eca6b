"""Ways in which a sampling run ends, caused from inside a forward."""

from collections.abc import Callable

import comfy.model_management
from torch import Tensor


def fail() -> None:
    raise RuntimeError("on purpose")


def interrupt() -> None:
    """Press Cancel, with immediate effect; older ComfyUI versions look for it between steps only."""
    comfy.model_management.interrupt_current_processing()
    comfy.model_management.throw_exception_if_processing_interrupted()


FAILURES: dict[str, tuple[Callable[[], None], type[BaseException]]] = {
    "error": (fail, RuntimeError),
    "interrupt": (interrupt, comfy.model_management.InterruptProcessingException),
}
ENDINGS: dict[str, tuple[Callable[[], None], type[BaseException] | None]] = {
    "success": (lambda: None, None),
    **FAILURES,
}
"""An action, and the exception that sampling then raises."""


def on_call(number: int, action: Callable[[], None]) -> Callable:
    """Make an attn2 patch that changes nothing and acts at its call of this number."""
    calls: list[int] = []

    def patch(q: Tensor, k: Tensor, v: Tensor, extra: dict) -> tuple:
        calls.append(1)
        if len(calls) == number:
            action()
        return q, k, v

    return patch
