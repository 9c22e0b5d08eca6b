"""The Python environments: .venv (ComfyUI and the pack) and .venv-train (the trainer, no ComfyUI).

With COMFYUI_PATH set, the caller's own interpreter replaces .venv, and nothing is installed.
"""

import hashlib
import importlib.util
import os
import signal
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parents[1]
OLDEST = (3, 11)
INTERRUPTED, ENDED = 130, 143
"""Exit codes that shells expect after SIGINT (Ctrl+C) and SIGTERM."""
LOOK_EVERY = 0.2
"""Seconds between two looks at commands that run side by side."""
Follow = Callable[[subprocess.Popen[bytes]], subprocess.Popen[bytes] | None]
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
"""Modules that our commands need in addition to ComfyUI's requirements, and the packages that contain them."""


class SetupError(Exception):
    """This machine is not set up; the message gives the reason and the remedy."""


@dataclass(frozen=True)
class Environment:
    """A virtual environment of this repository and the list of packages to install in it."""

    folder: Path
    requirements: Path

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

    @property
    def is_ready(self) -> bool:
        """True if it exists with exactly the packages of the list."""
        return self.python.is_file() and self._stamp.is_file() and self._stamp.read_text() == self._wanted

    @property
    def _stamp(self) -> Path:
        return self.folder / ".requirements.sha256"

    @property
    def _wanted(self) -> str:
        return hashlib.sha256(self.requirements.read_bytes()).hexdigest()

    def ensure(self) -> None:
        """Make it and install its list, unless that is already done.

        Raises:
            SetupError: it cannot be made, or pip failed.
        """
        if self.is_ready:
            return
        if not self.python.is_file():
            _make(self.folder)
        print(f"Installing {self.requirements.name} into {self.folder} (this takes some minutes)", flush=True)
        pip(self.python, "install", "--quiet", "--requirement", str(self.requirements))
        self._stamp.write_text(self._wanted)


HOST = Environment(ROOT / ".venv", ROOT / "requirements-dev.txt")
TRAINING = Environment(ROOT / ".venv-train", ROOT / "requirements-train.txt")


def own_host() -> bool:
    """True if the user provides ComfyUI and the interpreter (COMFYUI_PATH)."""
    return bool(os.environ.get("COMFYUI_PATH"))


def python(environment: Environment = HOST) -> Path:
    """Return the interpreter to run with."""
    return Path(sys.executable) if own_host() and environment is HOST else environment.python


def ensure_host() -> None:
    """Make .venv ready, or check the user's own interpreter.

    Raises:
        SetupError: the environment cannot be made, pip failed, or the user's own interpreter lacks a tool.
    """
    if not own_host():
        HOST.ensure()
        return
    missing = [package for module, package in TOOLS.items() if importlib.util.find_spec(module) is None]
    if missing:
        command = f"{sys.executable} -m pip install {' '.join(missing)}"
        raise SetupError(f"COMFYUI_PATH is set, and this interpreter lacks {', '.join(missing)}: run {command}")


def ensure_training() -> None:
    """Make .venv-train ready, unless the user provides ComfyUI: then nothing is installed.

    Raises:
        SetupError: the environment cannot be made, or pip failed.
    """
    if not own_host():
        TRAINING.ensure()


def pip(interpreter: Path, *arguments: str) -> None:
    """Run an interpreter's pip.

    Raises:
        SetupError: pip failed; it has printed the reason.
    """
    command = [str(interpreter), "-m", "pip", "--disable-pip-version-check", *arguments]
    if subprocess.run(command, cwd=ROOT).returncode:
        raise SetupError(f"pip could not {arguments[0]}; its message is above. Run the same command again to go on.")


def _make(folder: Path) -> None:
    if sys.version_info < OLDEST:
        have = ".".join(map(str, sys.version_info[:2]))
        need = ".".join(map(str, OLDEST))
        raise SetupError(f"this is Python {have}, the environment needs {need} or newer: run dev.py with a newer one")
    print(f"Making {folder}", flush=True)
    try:
        venv.create(folder, with_pip=True)
    except (subprocess.CalledProcessError, OSError) as error:
        remedy = "install your system's package for it (python3-venv on Debian) and run this again"
        raise SetupError(f"Python's venv module cannot make an environment here ({error}): {remedy}") from None


def run(*arguments: str, environment: Environment = HOST) -> int:
    """Run a command of an environment's Python in the repository; return its exit code."""
    return finish(start(*arguments, environment=environment))[0]


def start(
    *arguments: str, environment: Environment = HOST, output: IO[bytes] | None = None, **variables: str
) -> subprocess.Popen[bytes]:
    """Start a command of an environment's Python in the repository; `finish` waits for it.

    The environment's programs come first on PATH.

    Args:
        output: where its output goes; default the terminal.
        variables: environment variables, unless this process has set them.
    """
    programs = [str(python(environment).parent), os.environ.get("PATH", os.defpath)]
    own = {"PATH": os.pathsep.join(programs)}
    error = None if output is None else subprocess.STDOUT
    return subprocess.Popen([str(python(environment)), *arguments], cwd=ROOT, env={**variables, **os.environ, **own},
                            stdout=output, stderr=error)  # fmt: skip


def finish(*processes: subprocess.Popen[bytes], follow: Follow = lambda ended: None) -> list[int]:
    """Wait for started commands and return their exit codes. They end when this process is ended.

    Args:
        follow: is given each command that has ended, and may start another, which is waited for as well.
    """
    started, ended = list(processes), list[subprocess.Popen[bytes]]()
    before = signal.signal(signal.SIGTERM, lambda *_: [process.terminate() for process in started])
    try:
        while len(ended) < len(started):
            ended.append(_next_to_end(started, ended))
            next_one = follow(ended[-1])
            started += [] if next_one is None else [next_one]
        return [process.returncode for process in started]
    except KeyboardInterrupt:  # the terminal has sent it to the commands as well
        for process in started:
            process.wait()
        return [INTERRUPTED for _ in started]
    finally:
        signal.signal(signal.SIGTERM, before)


def first_failure(codes: Iterable[int]) -> int:
    """Return the first exit code that is not 0, as a signal's negative one; 0 if there is none."""
    return next((code for code in codes if code), 0)


def _next_to_end(
    started: list[subprocess.Popen[bytes]], ended: list[subprocess.Popen[bytes]]
) -> subprocess.Popen[bytes]:
    running = [process for process in started if process not in ended]
    if len(running) == 1:
        running[0].wait()
    while all(process.poll() is None for process in running):
        time.sleep(LOOK_EVERY)
    return next(process for process in running if process.poll() is not None)
