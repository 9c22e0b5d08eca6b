"""What is written must not land among the pictures: it would be taken for one of them the next time."""

from collections.abc import Iterable
from pathlib import Path

from gcfg_core.errors import InputError

from .picture import printable


def refuse_inside(output: str | Path, folders: Iterable[str | Path | None], name: str = "output") -> None:
    """Raise InputError where an output is, or lies in, a folder of pictures; links are followed.

    Args:
        output: a file or folder that will be written, there already or not.
        folders: of pictures that are read now or later; None for one that was not given.
        name: of the setting, for the message.
    """
    place = Path(output).resolve()
    for folder in folders:
        if folder is not None and place.is_relative_to(Path(folder).resolve()):
            raise InputError(name, f"a place outside the pictures in {printable(folder)}", printable(output),
                             "What is drawn there would become one of the pictures; give another one.")  # fmt: skip


def refuse_pictures_as_cache(cache: Path | None, images: Path) -> None:
    """Raise InputError where the cache, a folder that is passed over, is the folder of pictures itself."""
    if cache is not None and cache.resolve() == images.resolve():
        raise InputError("cache", "a folder of its own", f"the pictures in {printable(images)}", "Give another one.")
