"""The model folder `gcfg_worlds`, the world that the pack ships, and the names that Load Starter World offers."""

from __future__ import annotations

import functools
import logging
import os
from pathlib import Path

import folder_paths

from ...gcfg_core.concept_error import ConceptFileError
from ...gcfg_core.world_page import WORLD, read_world_page
from .model_folder import STARTER, register_model_folder

FOLDER = "gcfg_worlds"
SHIPPED = STARTER / "world"
UNTITLED = "starter"


def register_world_folder() -> None:
    """Make `models/gcfg_worlds` known to ComfyUI. Safe to repeat."""
    register_model_folder(FOLDER, (".json",))


def world_folders() -> dict[str, Path]:
    """Folder of each world by the name it is offered under: the shipped one's title, then paths in `gcfg_worlds`."""
    found = {_shipped_title(): SHIPPED} if (SHIPPED / WORLD).is_file() else {}
    for root in map(Path, folder_paths.get_folder_paths(FOLDER)):
        for path, folders, files in os.walk(root, followlinks=True):
            folders[:] = [] if WORLD in files else sorted(name for name in folders if not name.startswith("."))
            if WORLD in files:
                relative = Path(path).relative_to(root).as_posix()
                name = root.name if relative == "." else relative
                if found.setdefault(name, Path(path)) != Path(path):
                    _log_hidden(name, path, str(found[name]))
    return found


@functools.cache
def _log_hidden(name: str, path: str, other: str) -> None:
    """Once for each: the names are asked for again and again."""
    logging.warning(
        "GCFG: the world in %s is not offered: %s has the name %r too. Rename its folder.", path, other, name
    )


def _shipped_title() -> str:
    try:
        return read_world_page(SHIPPED).title or UNTITLED
    except ConceptFileError:  # loading it says what is wrong
        return UNTITLED
