"""The command that started this program, for messages, and the path of its folder."""

import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]


def program(started: str, package: str | None) -> str:
    """Return `python -m training`, or `python FOLDER` if the program was started by its path.

    Args:
        started: the first word of the command line, as Python gives it.
        package: of the main module; None or empty if started by a path.
    """
    place = Path(started)
    folder = place.parent if place.name == "__main__.py" else place
    return f"python {folder}" if not package and folder.resolve() == HERE else "python -m training"


def requirements() -> str:
    """Return the path of requirements.txt, relative to the working folder if it lies in it."""
    path = HERE / "requirements.txt"
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)


PROGRAM = program(sys.argv[0], sys.modules["__main__"].__package__)
