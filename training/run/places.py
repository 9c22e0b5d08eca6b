"""Where a run reads and writes: looked at before anything is done, so that a slip of the hand leaves nothing behind."""

from pathlib import Path

from ..base.read import find_base
from ..data.outside import refuse_inside
from ..data.scan import check_folder
from ..output import check_new_folder
from .config import RunConfig


def check_places(config: RunConfig) -> None:
    """Look at the paths of a run; nothing is left behind.

    Raises:
        InputError: no pictures or base there, an output or cache that cannot be made, or an output among the pictures.
    """
    check_folder(config.data)
    find_base(config.base)
    refuse_inside(config.output, [config.data.images])
    check_new_folder(Path(config.output))
    if config.data.cache is not None:
        check_new_folder(config.data.cache, "cache")
