"""The user's setting for a light or dark interface."""

from __future__ import annotations

import json
import os
from typing import Any

import folder_paths

SETTINGS = os.path.join("default", "comfy.settings.json")


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
