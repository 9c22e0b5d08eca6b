"""Files that are either whole or not there: written beside, flushed to the disk, renamed."""

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(target: Path, partial: Path, wait: bool = True) -> Iterator[Path]:
    """A new file to write into, which takes the place of ``target`` when the block ends well.

    Args:
        target: what is there stays whole until then.
        partial: the new file, beside it.
        wait: for the disk. Without, a file is whole whenever a process dies, but may be torn after a power failure.

    Raises:
        OSError: it could not be written; what was there before still is.
    """
    try:
        yield partial
        if wait:
            flush_file(partial)
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)
    if wait:
        flush_folder(target.parent)


def flush_file(path: Path) -> None:
    """Wait until a file's content is on the disk."""
    with open(path, "rb+") as handle:
        os.fsync(handle.fileno())


def flush_folder(folder: Path) -> None:
    """Wait until a folder's names are on the disk, without which a power failure can undo a rename; systems that cannot
    open a folder do without."""
    with contextlib.suppress(PermissionError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
