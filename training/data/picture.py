"""What is known about a file of the image folder."""

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
    """A file that decodes.

    Attributes:
        size: after EXIF rotation.
        format: Pillow's name of the file format.
        sha256: of the file's bytes.
        transparent: whether any of its pixels is.
    """

    size: Size
    format: str
    sha256: str
    transparent: bool = False


@dataclass(frozen=True)
class RejectedFacts:
    """A file that cannot be used, and why."""

    kind: Kind
    reason: str


@dataclass(frozen=True, kw_only=True)
class Picture(ImageFacts):
    """A picture that can be trained on.

    Attributes:
        path: of the file.
        name: path inside the image folder, with forward slashes.
        caption: None where there is none.
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
    """A caption that could not be used; ``line`` counts from 1 and is None for a whole file."""

    path: Path
    line: int | None
    reason: str


def digest_of(pictures: Iterable[Picture]) -> str:
    """Hash of pictures and captions, in their order."""
    return hashlib.sha256(repr([(picture.sha256, picture.caption) for picture in pictures]).encode()).hexdigest()


def printable(path: Path | str) -> str:
    """A path for people, whatever characters are in it."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "replace").decode() for c in str(path))
