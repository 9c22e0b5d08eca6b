"""Pictures that a package reads now, in a folder that a run began with when it was not there."""

from collections.abc import Sequence
from itertools import combinations

from gcfg_core.concept_error import some

from ..data.picture import Picture, digest_of, printable
from ..data.plugins import PLUGINS


def newly_read(pictures: Sequence[Picture], before: object) -> tuple[str, str] | None:
    """What is new and what to do about it, where pictures of some packages' formats are all that is; None elsewhere.

    Args:
        pictures: those that are there now.
        before: hash of the pictures that the run began with.
    """
    formats = {picture.format for picture in pictures}
    plugins = [plugin for plugin in PLUGINS if plugin.is_needed and plugin.format in formats]
    for chosen in (chosen for count in range(len(plugins)) for chosen in combinations(plugins, count + 1)):
        new = {plugin.format for plugin in chosen}
        if digest_of(picture for picture in pictures if picture.format not in new) == before:
            names = [printable(picture.name) for picture in pictures if picture.format in new]
            packages = [plugin.package for plugin in chosen]
            remedy = f"{' and '.join(packages)} can read them, which the run began without: move them out of the folder"
            remedy += f", or pip uninstall {' '.join(packages)}, to continue it."
            return f"{len(names)} added ({some(names)})", remedy
    return None
