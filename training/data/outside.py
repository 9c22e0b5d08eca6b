"""Keep outputs out of the folders of pictures, where the next scan would take them for pictures."""

from collections.abc import Iterable
from pathlib import Path

from gcfg_core.errors import InputError

from .picture import printable


def refuse_inside(output: str | Path, folders: Iterable[str | Path | None], name: str = "output") -> None:
    """Raise InputError if an output is, or lies in, a folder of pictures; links are followed.

    Args:
        output: a file or folder that will be written; may exist.
        folders: folders of pictures, read now or later; None entries are ignored.
        name: the setting's name, for the message.
    """
    place = Path(output).resolve()
    for folder in folders:
        if folder is not None and place.is_relative_to(Path(folder).resolve()):
            raise InputError(name, f"a place outside the pictures in {printable(folder)}", printable(output),
                             "Outputs there would be taken for pictures; give another path.")  # fmt: skip


def refuse_pictures_as_cache(cache: Path | None, images: Path) -> None:
    """Raise InputError if the cache is the folder of pictures itself, since the scan skips the cache."""
    if cache is not None and cache.resolve() == images.resolve():
        raise InputError("cache", "a folder of its own", f"the pictures in {printable(images)}", "Give another folder.")
