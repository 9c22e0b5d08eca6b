"""Where a run reads and writes: looked at before anything is done, so that a slip of the hand leaves nothing behind."""

import os
from pathlib import Path

from gcfg_core.input_error import InputError

from ..base.read import find_base
from ..data.outside import refuse_inside
from ..data.scan import check_folder
from .config import RunConfig


def check_places(config: RunConfig) -> None:
    """Look at the paths of a run; nothing is written.

    Raises:
        InputError: no pictures or base there, or an output that cannot be made or lies among the pictures.
    """
    check_folder(config.data)
    find_base(config.base)
    refuse_inside(config.output, [config.data.images])
    folder = Path(config.output)
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not there.is_dir():
        raise InputError("output", "a folder that can be made", f"the file {there}", "Give another one.")
    _check_writable(there)


def make_folder(folder: Path) -> None:
    """Make the run's folder.

    Raises:
        InputError: it cannot be made or written into.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError("output", "a folder that can be made", str(error), "Give another one.") from None
    _check_writable(folder)


def _check_writable(folder: Path) -> None:
    if not os.access(folder, os.W_OK):
        raise InputError("output", "a folder to write into", f"{folder}, which is not", "Give another one.")
