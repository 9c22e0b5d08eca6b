"""Run work in the first process and share its outcome."""

from collections.abc import Callable
from typing import Any

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from gcfg_core.errors import InputError


def agree(accelerator: Accelerator, work: Callable[[], Any]) -> Any:
    """Run ``work`` in the first process and send its result, or its error, to all processes, so that none waits
    forever.

    Args:
        work: returns a value that can be pickled.

    Raises:
        InputError: raised by ``work``, in all processes. Other exceptions reach the other processes as an InputError.
    """
    outcome: list[Any] = [None, None]
    failed: Exception | None = None
    if accelerator.is_main_process:
        try:
            outcome[0] = work()
        except InputError as error:
            outcome[1], failed = (error.name, error.expected, error.got, error.remedy), error
        except Exception as error:
            got = " ".join(f"{type(error).__name__}: {error}".split())
            outcome[1], failed = ("the first process", "its part of the work", got, "See its output."), error
    broadcast_object_list(outcome)
    if failed is not None:
        raise failed
    if outcome[1] is not None:
        raise InputError(*outcome[1])
    return outcome[0]
