"""The interpreter that everything runs in: .venv, or the caller's own when COMFYUI_PATH is set."""

import hashlib
import importlib.util
import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / ".venv"
REQUIREMENTS = ROOT / "requirements-dev.txt"
STAMP = FOLDER / ".requirements.sha256"
OLDEST = (3, 11)
TOOLS = {
    "pytest": "pytest",
    "pytest_timeout": "pytest-timeout",
    "hypothesis": "hypothesis",
    "websocket": "websocket-client",
    "diffusers": "diffusers",
    "ruff": "ruff",
    "pyright": "pyright[nodejs]",
    "pre_commit": "pre-commit",
}
"""Modules that our commands need beside ComfyUI's own needs, and the packages they come in."""


class SetupError(Exception):
    """Something on this machine stands in the way; the message says what and how to go on."""


def own_host() -> bool:
    """True when the user brings ComfyUI and the interpreter along (COMFYUI_PATH)."""
    return bool(os.environ.get("COMFYUI_PATH"))


def python() -> Path:
    """The interpreter to run with."""
    if own_host():
        return Path(sys.executable)
    return FOLDER / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def ensure_environment() -> None:
    """Make .venv and install requirements-dev.txt into it, unless that very list is already there.

    Raises:
        SetupError: an environment cannot be made, pip failed, or the user's own interpreter lacks a tool.
    """
    if own_host():
        missing = [package for module, package in TOOLS.items() if importlib.util.find_spec(module) is None]
        if missing:
            command = f"{sys.executable} -m pip install {' '.join(missing)}"
            raise SetupError(f"COMFYUI_PATH is set, and this interpreter lacks {', '.join(missing)}: run {command}")
        return
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    if STAMP.is_file() and STAMP.read_text() == wanted and python().is_file():
        return
    if not python().is_file():
        _make()
    print(f"Installing {REQUIREMENTS.name} into {FOLDER} (the first time this takes some minutes)", flush=True)
    pip("install", "--quiet", "--requirement", str(REQUIREMENTS))
    STAMP.write_text(wanted)


def pip(*arguments: str) -> None:
    """Run this environment's pip.

    Raises:
        SetupError: pip failed; its own words are above.
    """
    command = [str(python()), "-m", "pip", "--disable-pip-version-check", *arguments]
    if subprocess.run(command, cwd=ROOT).returncode:
        raise SetupError(f"pip could not {arguments[0]}; its message is above. Run the same command again to go on.")


def _make() -> None:
    if sys.version_info < OLDEST:
        have = ".".join(map(str, sys.version_info[:2]))
        need = ".".join(map(str, OLDEST))
        raise SetupError(f"this is Python {have}, the environment needs {need} or newer: run dev.py with a newer one")
    print(f"Making {FOLDER}", flush=True)
    try:
        venv.create(FOLDER, with_pip=True)
    except (subprocess.CalledProcessError, OSError) as error:
        remedy = "install your system's package for it (python3-venv on Debian) and run this again"
        raise SetupError(f"Python's venv module cannot make an environment here ({error}): {remedy}") from None


def run(*arguments: str) -> int:
    """Run a command of the environment's Python in the repository; its exit code.

    The test rigs and the pack's pure packages can be imported there, and the environment's programs come first on PATH.
    """
    paths = [str(ROOT / "tests"), *filter(None, [os.environ.get("PYTHONPATH")])]
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    variables["PATH"] = os.pathsep.join([str(python().parent), os.environ.get("PATH", os.defpath)])
    try:
        return subprocess.run([str(python()), *arguments], cwd=ROOT, env=variables).returncode
    except KeyboardInterrupt:
        return 130
