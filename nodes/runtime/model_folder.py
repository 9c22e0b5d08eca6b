"""Model folders of our own in ComfyUI, and what the pack itself ships for them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

import folder_paths

STARTER = Path(__file__).resolve().parents[2] / "starter"
"""What the pack ships: `world`, a folder with a world, and `concepts`. Either may be missing."""


def register_model_folder(name: str, extensions: Iterable[str], shipped: Path | None = None) -> None:
    """Make `models/<name>` known to ComfyUI, and make the folder where that is allowed.

    Paths that the user's extra_model_paths.yaml gave it come first and stay; ComfyUI knows no extensions for them, so
    ours are set. Safe to repeat.

    Args:
        shipped: a folder of the pack's, looked into last; left out where it does not exist.
    """
    default = os.path.join(folder_paths.models_dir, name)
    paths = list(folder_paths.folder_names_and_paths.get(name, ([], set()))[0])
    further = [str(shipped)] if shipped is not None and shipped.is_dir() else []
    paths += [path for path in (default, *further) if path not in paths]
    with contextlib.suppress(OSError):
        os.makedirs(default, exist_ok=True)
    folder_paths.folder_names_and_paths[name] = (paths, set(extensions))
