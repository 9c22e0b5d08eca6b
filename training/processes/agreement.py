"""Work that one process does for all."""

from collections.abc import Callable
from typing import Any

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from gcfg_core.errors import InputError


def agree(accelerator: Accelerator, work: Callable[[], Any]) -> Any:
    """Let the first process work and tell the others what came out, an error too, so that none waits for ever.

    Args:
        work: gives anything that can be pickled.

    Raises:
        InputError: as ``work``, in all processes; in the others also what stands for its other exceptions.
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
            outcome[1], failed = ("the first process", "its part of the work", got, "See what it says."), error
    broadcast_object_list(outcome)
    if failed is not None:
        raise failed
    if outcome[1] is not None:
        raise InputError(*outcome[1])
    return outcome[0]
