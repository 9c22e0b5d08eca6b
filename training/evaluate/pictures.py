"""List the pictures of a folder in an order that depends only on their contents."""

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from gcfg_core.errors import InputError

from ..data.captions import is_caption_file, is_sidecar, stem
from ..data.config import BOMB
from ..data.image_file import UnusablePicture, pixel_limit, quiet
from ..data.pixels import decode
from ..data.transparency import WHITE, Colour
from ..data.walk import walk


@dataclass(frozen=True)
class PictureFile:
    """A file, the hash of its bytes, and the colour behind its transparent parts."""

    path: Path
    sha256: str
    background: Colour = WHITE


def list_pictures(folder: str | Path, background: Colour = WHITE) -> tuple[PictureFile, ...]:
    """List every file below a folder, except hidden files and captions, ordered by content: renaming files changes no
    result.

    Raises:
        InputError: the folder is missing or empty.
    """
    place = Path(folder)
    if not place.is_dir():
        got = "a file" if place.exists() else "nothing there"
        raise InputError(str(folder), "a folder of pictures", got, "Check the name.")
    files = walk(place).files
    stems = {stem(file.name) for file in files if not is_sidecar(file.name)}
    return by_content([file.path for file in files if not is_caption_file(file.name, stems)], str(folder), background)


def by_content(paths: list[Path], name: str, background: Colour = WHITE) -> tuple[PictureFile, ...]:
    """Order files by the hash of their bytes; ``name`` is for errors."""
    files = [PictureFile(path, hashlib.sha256(path.read_bytes()).hexdigest(), background) for path in paths]
    if not files:
        raise InputError(name, "pictures", "none there", "Check the name.")
    return tuple(sorted(files, key=lambda file: file.sha256))


def open_picture(file: PictureFile) -> Image.Image | None:
    """Open a picture as RGB, opaque and upright; None if the file is not a picture or cannot be decoded."""
    with pixel_limit(BOMB), quiet():
        try:
            return decode(io.BytesIO(file.path.read_bytes()), BOMB, file.background).image
        except (UnusablePicture, OSError):
            return None
