"""A lock on a run's folder: one run at a time, and no partial files of a process that was killed."""

import os
import re
import shutil
from pathlib import Path
from types import TracebackType

from filelock import FileLock, Timeout

from gcfg_core.errors import InputError

from ..durable import PARTIAL
from ..processes.shared_disk import TOKEN

LOCK = ".lock"
HEX = "[0-9a-f]{32}"
# Names with a random part, of files and of a world's folder, and the model card's.
TEMPORARY = re.compile(rf".+\.{HEX}({re.escape(PARTIAL)}|\.tmp)|\.README\.md\.tmp|{re.escape(TOKEN)}{HEX}")
REPLACED = re.compile(rf"\.(?P<name>.+)\.{HEX}\.old")  # a world that waits for the new one to be in its place


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


def remove_leftovers(folder: Path) -> None:
    """Remove partial files from a folder that no other process writes into, and restore a world that lost its place."""
    for path in folder.iterdir():
        replaced = REPLACED.fullmatch(path.name)
        if replaced and not (folder / replaced["name"]).exists():
            os.replace(path, folder / replaced["name"])
        elif replaced or TEMPORARY.fullmatch(path.name):
            _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
