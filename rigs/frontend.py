"""Choose a server's web interface: the folder in GCFG_FRONTEND, else the installed package beside ComfyUI."""

import os
from pathlib import Path

INSIDE = Path("comfyui_frontend_package", "static")
"""The interface's path in a folder that `pip install --target` filled."""


def frontend_arguments() -> list[str]:
    """Return ComfyUI's arguments for the interface.

    Raises:
        FileNotFoundError: GCFG_FRONTEND names a folder without a web interface.
    """
    named = os.environ.get("GCFG_FRONTEND")
    if not named:
        return []
    folder = Path(named).expanduser().resolve()
    for root in (folder, folder / INSIDE):
        if (root / "index.html").is_file():
            return ["--front-end-root", str(root)]
    raise FileNotFoundError(
        f"GCFG_FRONTEND names {folder}, which holds no web interface: "
        "pip install --no-deps --target FOLDER comfyui-frontend-package==VERSION makes one"
    )
