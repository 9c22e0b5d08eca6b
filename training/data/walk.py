"""List the files of a folder and its subfolders."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .image_file import error_line
from .picture import Rejected


@dataclass(frozen=True)
class FileStamp:
    """A file, with a stamp that changes when the file does.

    Attributes:
        path: of the file.
        name: path inside the folder, with forward slashes.
        stamp: modification time and inode change time in ns, and size in bytes.
    """

    path: Path
    name: str
    stamp: tuple[int, int, int]


@dataclass
class FolderFiles:
    """Regular files ordered by name, unreadable entries, and the number of hidden entries."""

    files: list[FileStamp] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    hidden: int = 0


def walk(folder: Path, without: Path | None = None) -> FolderFiles:
    """List every regular file under ``folder``. Follow links, visit each folder once, skip hidden entries and
    ``without``.

    The order depends only on names. Pipes, sockets and devices are rejected unopened, since opening them could block.
    """
    found = FolderFiles()
    seen: set[tuple[int, int]] = set()
    if without is not None and (mark := _identity(without)) is not None:
        seen.add(mark)
    waiting = [(folder, "")]
    while waiting:
        place, prefix = waiting.pop()
        mark = _identity(place)
        if mark in seen:
            continue
        if mark is not None:
            seen.add(mark)
        waiting += reversed(list(_list(place, prefix, found)))
    found.files.sort(key=lambda file: file.name)
    found.rejected.sort(key=lambda entry: str(entry.path))
    return found


def _list(place: Path, prefix: str, found: FolderFiles) -> Iterator[tuple[Path, str]]:
    """Add the files of one folder to ``found``; yield its subfolders, in order."""
    try:
        with os.scandir(place) as entries:
            ordered = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        found.rejected.append(Rejected("unreadable", error_line(error), path=place))
        return
    for entry in ordered:
        path, name = place / entry.name, prefix + entry.name
        if entry.name.startswith("."):
            found.hidden += 1
            continue
        try:
            facts = entry.stat()
        except OSError as error:
            found.rejected.append(Rejected("unreadable", error_line(error), path=path))
            continue
        if stat.S_ISDIR(facts.st_mode):
            yield path, name + "/"
        elif stat.S_ISREG(facts.st_mode):
            found.files.append(FileStamp(path, name, (facts.st_mtime_ns, facts.st_ctime_ns, facts.st_size)))
        else:
            found.rejected.append(Rejected("not an image", "no regular file", path=path))


def _identity(folder: Path) -> tuple[int, int] | None:
    try:
        facts = folder.stat()
    except OSError:
        return None
    return facts.st_dev, facts.st_ino
