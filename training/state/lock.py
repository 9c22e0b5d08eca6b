"""A lock on a run's folder: one run at a time."""

from pathlib import Path
from types import TracebackType

from filelock import FileLock, Timeout

from gcfg_core.errors import InputError

LOCK = ".lock"


class RunLock:
    """Holds the lock on a folder from `take` until the block or the process ends."""

    def __init__(self) -> None:
        self._lock: FileLock | None = None

    def __enter__(self) -> "RunLock":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._lock is not None:
            self._lock.release()

    @property
    def is_held(self) -> bool:
        """True if `take` got the lock; False on a disk without locks."""
        return self._lock is not None

    def take(self, folder: Path) -> None:
        """Lock an existing folder; only the first process of a run calls this.

        Raises:
            InputError: another run holds the lock.
        """
        lock = FileLock(folder / LOCK, timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise InputError("output", "a folder that no other process trains in", f"{folder}, which is in use",
                             "Wait for it, or give another folder.") from None  # fmt: skip
        except (OSError, NotImplementedError):
            return  # this disk has no locks: continue without
        self._lock = lock
