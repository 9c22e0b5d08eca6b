"""One run at a time in a folder."""

from pathlib import Path
from types import TracebackType

from filelock import FileLock, Timeout

from gcfg_core.errors import InputError

LOCK = ".lock"


class RunLock:
    """Holds a run's folder from `take` until the block ends, or the process does, however it ends."""

    def __init__(self) -> None:
        self._lock: FileLock | None = None

    def __enter__(self) -> "RunLock":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._lock is not None:
            self._lock.release()

    @property
    def is_held(self) -> bool:
        """Whether `take` took it; not on a disk without locks."""
        return self._lock is not None

    def take(self, folder: Path) -> None:
        """Take the folder, which must be there; the first process of a run alone does so.

        Raises:
            InputError: another run has it.
        """
        lock = FileLock(folder / LOCK, timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise InputError("output", "a folder that no other process trains in", f"{folder}, where one does",
                             "Wait for it, or give another folder.") from None  # fmt: skip
        except (OSError, NotImplementedError):
            return  # a disk without locks: go on without
        self._lock = lock
