"""The model folder `gcfg_concepts`, and the files that Load Concept Model offers."""

from __future__ import annotations

import contextlib
import os

import folder_paths

from ...gcfg_core.tensor_file import EXTENSIONS

FOLDER = "gcfg_concepts"
FOLDERS = (FOLDER, "diffusion_models")


def register_concept_folder() -> None:
    """Make `models/gcfg_concepts` known to ComfyUI, and make the folder where that is allowed.

    Paths that the user's extra_model_paths.yaml gave it come first and stay; ComfyUI knows no extensions for them, so
    ours are set. Safe to repeat.
    """
    default = os.path.join(folder_paths.models_dir, FOLDER)
    paths = list(folder_paths.folder_names_and_paths.get(FOLDER, ([], set()))[0])
    if default not in paths:
        paths.append(default)
    with contextlib.suppress(OSError):
        os.makedirs(default, exist_ok=True)
    folder_paths.folder_names_and_paths[FOLDER] = (paths, set(EXTENSIONS))


def concept_names() -> list[str]:
    """Files of `gcfg_concepts`, then those of `diffusion_models`; a name in both stands for the first."""
    names = [name for folder in FOLDERS for name in folder_paths.get_filename_list(folder)]
    return list(dict.fromkeys(names))


def concept_path(name: str) -> str | None:
    """Where the file of this name is, or None."""
    return next(filter(None, (folder_paths.get_full_path(folder, name) for folder in FOLDERS)), None)
