"""Access to the drawing modules for nodes, so that the pack loads without matplotlib."""

from __future__ import annotations

import importlib
import json
import os
from typing import Any

import folder_paths

CHOICES: dict[str, tuple[str, ...]] = {
    "overview": ("push", "cosine", "cost"),
    "everything": ("push", "weight", "size", "cosine", "cost"),
    "pushes": ("push",),
    "weights and sizes": ("weight", "size"),
    "directions": ("cosine", "between"),
    "cost": ("cost",),
}
"""The panel of the cost has the squares of every two terms beside it."""

SETTINGS = os.path.join("default", "comfy.settings.json")


def drawing(name: str) -> Any:
    """Import the module of this name in nodes/drawing.

    Raises:
        RuntimeError: matplotlib is missing.
    """
    try:
        return importlib.import_module(f"{__package__}.{name}")
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != "matplotlib":
            raise
        raise RuntimeError(
            "matplotlib is not installed, but this node draws with it. Install the packages of this pack's "
            "requirements.txt into ComfyUI's Python (pip install matplotlib), then restart ComfyUI."
        ) from error


def interface_theme() -> str:
    """Return 'light' or 'dark'. ComfyUI starts dark; for servers with several users the answer is dark."""
    try:
        with open(os.path.join(folder_paths.get_user_directory(), SETTINGS), encoding="utf-8") as file:
            settings: Any = json.load(file)
    except (OSError, ValueError):
        return "dark"
    return "light" if isinstance(settings, dict) and _is_light(settings) else "dark"


def _is_light(settings: dict[str, Any]) -> bool:
    palette = settings.get("Comfy.ColorPalette")
    if palette == "light":
        return True
    own = settings.get("Comfy.CustomColorPalettes")
    chosen = own.get(str(palette).removeprefix("custom_")) if isinstance(own, dict) else None
    return isinstance(chosen, dict) and bool(chosen.get("light_theme"))
