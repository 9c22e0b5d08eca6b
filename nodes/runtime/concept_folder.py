"""The model folder `gcfg_concepts`, and the files that Load Concept Model offers."""

from __future__ import annotations

import folder_paths

from ...gcfg_core.tensor_file import EXTENSIONS
from .model_folder import STARTER, register_model_folder

FOLDER = "gcfg_concepts"
FOLDERS = (FOLDER, "diffusion_models")


def register_concept_folder() -> None:
    """Make `models/gcfg_concepts` known to ComfyUI, the pack's own concepts after it. Safe to repeat."""
    register_model_folder(FOLDER, EXTENSIONS, STARTER / "concepts")


def concept_names() -> list[str]:
    """Files of `gcfg_concepts`, then those of `diffusion_models`; a name in both stands for the first."""
    names = [name for folder in FOLDERS for name in folder_paths.get_filename_list(folder)]
    return list(dict.fromkeys(names))


def concept_path(name: str) -> str | None:
    """Where the file of this name is, or None."""
    return next(filter(None, (folder_paths.get_full_path(folder, name) for folder in FOLDERS)), None)
