"""Ways in which a sampling run ends, caused from inside a forward."""

from collections.abc import Callable

import comfy.model_management
from torch import Tensor


def fail() -> None:
    raise RuntimeError("on purpose")


def interrupt() -> None:
    """The user's Cancel, found at once; older hosts look for it between steps only."""
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
"""What to do, and what sampling then raises."""


def on_call(number: int, action: Callable[[], None]) -> Callable:
    """An attn2 patch that changes nothing and acts when it is called for the given time."""
    calls: list[int] = []

    def patch(q: Tensor, k: Tensor, v: Tensor, extra: dict) -> tuple:
        calls.append(1)
        if len(calls) == number:
            action()
        return q, k, v

    return patch
