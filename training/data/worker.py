"""Worker processes that read ahead, and signals that are meant for the process that trains."""

import atexit
import signal
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar
from weakref import WeakSet

ASKED = (signal.SIGINT, signal.SIGTERM)
Some = TypeVar("Some")
_open: WeakSet[Generator[Any, None, None]] = WeakSet()


def ignore_signals(worker: int = 0) -> None:
    """What a worker begins with: Ctrl-C and a scheduler's SIGTERM go to every process of a group, and a run that is
    asked to stop still needs the batch it waits for. Workers end when the one that started them says so or is gone."""
    for number in ASKED:
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def signals_held() -> Iterator[None]:
    """While the block runs, signals wait; processes that are started in it never see them, not even before they come to
    `ignore_signals`."""
    mask = getattr(signal, "pthread_sigmask", None)  # Windows has none
    before = mask(signal.SIG_BLOCK, ASKED) if mask else None
    try:
        yield
    finally:
        if mask:
            mask(signal.SIG_SETMASK, before)


def closed_at_exit(batches: Generator[Some, None, None]) -> Generator[Some, None, None]:
    """The same batches; whoever still holds them at the end of the program does not keep it waiting for their workers,
    which do not listen to SIGTERM."""
    _open.add(batches)
    return batches


@atexit.register
def _close() -> None:
    for batches in list(_open):
        batches.close()
