"""Check output paths before the work starts, so that hours of it are not lost at the end; sizes in words."""

import os
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from gcfg_core.errors import InputError

ANOTHER = "Give another path."


def check_file(path: Path, suffixes: Sequence[str], overwrite: bool = True, name: str = "output") -> None:
    """Raise InputError if a file could not be written.

    Args:
        path: of the file; its folder must exist.
        suffixes: allowed endings of the name, in lower case.
        overwrite: an existing file may be replaced.
        name: the setting's name, for messages.
    """
    if path.suffix.lower() not in suffixes:
        raise InputError(name, f"a name that ends in {' or '.join(suffixes)}", str(path), "Rename it.")
    if not path.parent.is_dir():
        raise InputError(name, "a file in an existing folder", str(path), "Make the folder first.")
    if path.is_dir():
        raise InputError(name, "a file", f"the folder {path}", ANOTHER)
    if path.exists() and not overwrite:
        raise InputError(name, "a new file", f"{path}, which exists", "Give another name, or --overwrite.")
    if path.exists() and not os.access(path, os.W_OK):
        raise InputError(name, "a file that can be replaced", f"{path}, which cannot be", ANOTHER)
    _try_to_write(path.parent, name)


def check_new_folder(path: Path, name: str = "output") -> None:
    """Raise InputError if a path is not a folder and cannot become a writable folder. Leave nothing behind."""
    there = next(place for place in (path, *path.absolute().parents) if place.exists())
    if not there.is_dir():
        raise InputError(name, "a folder that can be made", f"the file {there}", ANOTHER)
    _try_to_write(there, name)


def make_folder(path: Path, name: str = "output") -> None:
    """Create a folder if it is missing.

    Raises:
        InputError: the folder cannot be created or written into.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(name, "a folder that can be made", str(error), ANOTHER) from None
    _try_to_write(path, name)


def _try_to_write(folder: Path, name: str) -> None:
    """Create a temporary file: permission bits do not show every reason why a write fails."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(name, "a folder to write into", f"{folder}: {error.strerror or error}", ANOTHER) from None


def size_text(count: float) -> str:
    """Three digits and a unit."""
    for unit in ("B", "KB", "MB"):
        if round(count, 2 if count < 10.0 else 1 if count < 100.0 else 0) < 1000.0:
            return f"{count:.3g} {unit}"
        count /= 1000.0
    return f"{count:.2f} GB"


def print_notes(notes: Iterable[str]) -> None:
    """Print notes, a line each on stderr."""
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
