"""Import the drawing modules on demand, so that the pack loads without matplotlib."""

from __future__ import annotations

import importlib
from typing import Any

PACKAGE = __package__.rpartition(".")[0]


def drawing(name: str) -> Any:
    """Import the module of this name in nodes/drawing.

    Raises:
        RuntimeError: matplotlib is missing.
    """
    try:
        return importlib.import_module(f"{PACKAGE}.drawing.{name}")
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != "matplotlib":
            raise
        raise RuntimeError(
            "matplotlib: expected to be installed, as this node draws with it, got nothing of that name. Install what "
            "this pack's requirements.txt names into ComfyUI's Python (pip install matplotlib), then restart ComfyUI."
        ) from error
