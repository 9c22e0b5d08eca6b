"""Protect worker processes that read ahead from signals meant for the main process, and close them at exit."""

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
    """Initialize a worker: ignore Ctrl-C and SIGTERM, which reach every process of a group. A stopping run still needs
    the batch that it waits for; workers end when the main process ends them or is gone."""
    for number in ASKED:
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def signals_held() -> Iterator[None]:
    """Hold signals while the block runs, so that processes started in it never receive them, not even before
    `ignore_signals` runs."""
    mask = getattr(signal, "pthread_sigmask", None)  # Windows has none
    before = mask(signal.SIG_BLOCK, ASKED) if mask else None
    try:
        yield
    finally:
        if mask:
            mask(signal.SIG_SETMASK, before)


def closed_at_exit(batches: Generator[Some, None, None]) -> Generator[Some, None, None]:
    """Return the same batches, and close them at exit, so that their workers, which ignore SIGTERM, do not block it."""
    _open.add(batches)
    return batches


@atexit.register
def _close() -> None:
    for batches in list(_open):
        batches.close()
