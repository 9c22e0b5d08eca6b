"""The pack's model folders in ComfyUI, `gcfg_concepts` and `gcfg_worlds`, and the files that the pack ships for
them."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
from collections.abc import Iterable
from pathlib import Path

import folder_paths

from ...gcfg_core.concept.tensor_file import EXTENSIONS
from ...gcfg_core.errors import ConceptFileError
from ...gcfg_core.world.page import WORLD, read_world_page

STARTER = Path(__file__).resolve().parents[2] / "starter"
"""The shipped files: `world`, a folder with a world, and `concepts`. Either may be missing."""
SHIPPED_WORLD = STARTER / "world"

CONCEPTS, WORLDS = "gcfg_concepts", "gcfg_worlds"
CONCEPT_FOLDERS = (CONCEPTS, "diffusion_models")
UNTITLED = "starter"


def register_model_folders() -> None:
    """Register `models/gcfg_concepts`, the pack's own concepts after it, and `models/gcfg_worlds` with ComfyUI.

    Safe to repeat.
    """
    _register(CONCEPTS, EXTENSIONS, STARTER / "concepts")
    _register(WORLDS, (".json",))


def _register(name: str, extensions: Iterable[str], shipped: Path | None = None) -> None:
    """Register `models/<name>` with ComfyUI, and create the folder if that is allowed.

    Paths from the user's extra_model_paths.yaml come first and stay; ComfyUI knows no extensions for them, so ours are
    set.

    Args:
        shipped: a folder of the pack, searched last; ignored if it does not exist.
    """
    default = os.path.join(folder_paths.models_dir, name)
    paths = list(folder_paths.folder_names_and_paths.get(name, ([], set()))[0])
    further = [str(shipped)] if shipped is not None and shipped.is_dir() else []
    paths += [path for path in (default, *further) if path not in paths]
    with contextlib.suppress(OSError):
        os.makedirs(default, exist_ok=True)
    folder_paths.folder_names_and_paths[name] = (paths, set(extensions))


def concept_names() -> list[str]:
    """List the files of `gcfg_concepts`, then those of `diffusion_models`; a name in both means the first."""
    names = [name for folder in CONCEPT_FOLDERS for name in folder_paths.get_filename_list(folder)]
    return list(dict.fromkeys(names))


def concept_path(name: str) -> str | None:
    """Return the path of the file of this name, or None."""
    return next(filter(None, (folder_paths.get_full_path(folder, name) for folder in CONCEPT_FOLDERS)), None)


def world_folders() -> dict[str, Path]:
    """Map each world's name in the node to its folder: the shipped world's title, then paths in `gcfg_worlds`."""
    worlds = {_shipped_title(): SHIPPED_WORLD} if (SHIPPED_WORLD / WORLD).is_file() else {}
    for root in map(Path, folder_paths.get_folder_paths(WORLDS)):
        for path, folders, files in os.walk(root, followlinks=True):
            folders[:] = [] if WORLD in files else sorted(name for name in folders if not name.startswith("."))
            if WORLD in files:
                relative = Path(path).relative_to(root).as_posix()
                name = root.name if relative == "." else relative
                if worlds.setdefault(name, Path(path)) != Path(path):
                    _log_hidden(name, path, str(worlds[name]))
    return worlds


@functools.cache
def _log_hidden(name: str, path: str, other: str) -> None:
    """Log each hidden world once: ComfyUI asks for the names again and again."""
    logging.warning(
        "GCFG: the world in %s is not offered: %s has the name %r too. Rename its folder.", path, other, name
    )


def _shipped_title() -> str:
    try:
        return read_world_page(SHIPPED_WORLD).title or UNTITLED
    except ConceptFileError:  # loading it gives the error
        return UNTITLED
