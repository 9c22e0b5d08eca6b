"""Facts about files in the picture folder."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

Kind = Literal["not an image", "needs a plugin", "broken", "unreadable", "huge", "tiny", "duplicate"]


class Size(NamedTuple):
    """Width and height in pixels."""

    width: int
    height: int

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"


@dataclass(frozen=True)
class ImageFacts:
    """Facts about a file that can be decoded.

    Attributes:
        size: after EXIF rotation.
        format: Pillow's name of the file format.
        sha256: of the file's bytes.
        transparent: True if any pixel is transparent.
    """

    size: Size
    format: str
    sha256: str
    transparent: bool = False


@dataclass(frozen=True)
class RejectedFacts:
    """Why a file cannot be used."""

    kind: Kind
    reason: str


@dataclass(frozen=True, kw_only=True)
class Picture(ImageFacts):
    """A picture for training.

    Attributes:
        path: of the file.
        name: path inside the picture folder, with forward slashes.
        caption: None if missing.
    """

    path: Path
    name: str
    caption: str | None = None


@dataclass(frozen=True, kw_only=True)
class Rejected(RejectedFacts):
    """A file that is left out."""

    path: Path


@dataclass(frozen=True)
class CaptionProblem:
    """An unusable caption; ``line`` counts from 1, None for a whole file."""

    path: Path
    line: int | None
    reason: str


def digest_of(pictures: Iterable[Picture]) -> str:
    """Hash pictures and captions, in order."""
    return hashlib.sha256(repr([(picture.sha256, picture.caption) for picture in pictures]).encode()).hexdigest()


def printable(path: Path | str) -> str:
    """Escape unprintable characters of a path."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "replace").decode() for c in str(path))
