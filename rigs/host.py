"""Find the ComfyUI that the tests run on, and make it importable on the CPU."""

import os
import sys
from pathlib import Path

from devtools import runtime

ROOT = Path(__file__).resolve().parents[1]


def comfyui_path() -> Path:
    """Return the ComfyUI folder to run on: COMFYUI_PATH, else the runtime that dev.py unpacks.

    Raises:
        FileNotFoundError: there is no ComfyUI there.
    """
    named = os.environ.get("COMFYUI_PATH")
    path = Path(named).expanduser().resolve() if named else runtime.FOLDER
    if not (path / "comfy" / "samplers.py").is_file():
        remedy = "point COMFYUI_PATH at a ComfyUI folder" if named else "run `python dev.py setup`, or set COMFYUI_PATH"
        raise FileNotFoundError(f"no ComfyUI in {path} (no comfy/samplers.py there): {remedy}")
    return path


def enter_host() -> Path:
    """Put ComfyUI first on sys.path and make it run on the CPU. Call before anything imports comfy."""
    path = comfyui_path()
    if str(path) in sys.path:
        sys.path.remove(str(path))
    sys.path.insert(0, str(path))
    import comfy.cli_args

    if "comfy.model_management" in sys.modules:
        raise RuntimeError("comfy.model_management was imported before the tests chose the CPU; import rigs.host first")
    comfy.cli_args.args.cpu = True
    # As main.py does: the package `utils` must be imported before nodes.py puts comfy/ (with a utils.py) on sys.path.
    import utils.install_util  # noqa: F401

    return path


def cache_dir() -> Path:
    """Return the folder for built model files: GCFG_TEST_CACHE, else .cache/tiny in the repository. Never committed."""
    named = os.environ.get("GCFG_TEST_CACHE")
    path = Path(named).expanduser().resolve() if named else ROOT / ".cache" / "tiny"
    path.mkdir(parents=True, exist_ok=True)
    return path
