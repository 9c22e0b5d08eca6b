"""Write files completely or not at all: write beside the target, flush to the disk, rename."""

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(target: Path, partial: Path, wait: bool = True) -> Iterator[Path]:
    """Yield the path of a new file to write; the file replaces ``target`` if the block succeeds.

    Args:
        target: an existing file is replaced only when the new file is complete.
        partial: the new file, beside it.
        wait: wait for the disk. Otherwise the file survives the death of a process, but may be torn by a power failure.

    Raises:
        OSError: writing failed; an existing file is unchanged.
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
    """Wait until the names in a folder are on the disk: without that, a power failure can undo a rename.

    Does nothing on systems that cannot open a folder.
    """
    with contextlib.suppress(PermissionError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
