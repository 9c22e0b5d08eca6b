"""Where a run reads and writes: looked at before anything is done, so that a slip of the hand leaves nothing behind and
costs no time."""

from pathlib import Path

from ..base.read import find_base
from ..console.output import check_new_folder
from ..data.outside import refuse_inside
from ..data.scan import check_folder
from ..settings.config import RunConfig
from ..state.record import check_record, given_settings


def check_paths(config: RunConfig) -> None:
    """Look at the paths of a run; nothing is left behind.

    Raises:
        InputError: no pictures or base there, an output or cache that cannot be made, an output among the pictures, or
            one that holds a run of other settings.
    """
    check_folder(config.data)
    find_base(config.base)
    refuse_inside(config.output, [config.data.images])
    check_new_folder(Path(config.output))
    check_record(Path(config.output), given_settings(config), some=True)
    if config.data.cache is not None:
        check_new_folder(config.data.cache, "cache")
