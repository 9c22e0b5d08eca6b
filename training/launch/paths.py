"""Check a run's paths before any work, so that a typing error costs no time and leaves nothing behind."""

from pathlib import Path

from ..base.read import find_base
from ..console.output import check_new_folder
from ..data.outside import refuse_inside
from ..data.scan import check_folder
from ..settings.config import RunConfig
from ..state.record import check_record, given_settings


def check_paths(config: RunConfig) -> None:
    """Check the paths of a run; write nothing.

    Raises:
        InputError: pictures or base are missing; output or cache cannot be created; the output lies among the pictures
            or holds a run with other settings.
    """
    check_folder(config.data)
    find_base(config.base)
    refuse_inside(config.output, [config.data.images])
    check_new_folder(Path(config.output))
    check_record(Path(config.output), given_settings(config), some=True)
    if config.data.cache is not None:
        check_new_folder(config.data.cache, "cache")
