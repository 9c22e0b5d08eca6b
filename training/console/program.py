"""How this program was started, as people type it, and where its folder is."""

import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]


def program(started: str, package: str | None) -> str:
    """`python -m training`, or `python FOLDER` where it was started by its folder, from any place.

    Args:
        started: the first word of the command line, as Python gives it.
        package: that the main module is in; none where it was started by a path.
    """
    place = Path(started)
    folder = place.parent if place.name == "__main__.py" else place
    return f"python {folder}" if not package and folder.resolve() == HERE else "python -m training"


def requirements() -> str:
    """Path of the list of what this program needs, from the working folder where it is in there."""
    path = HERE / "requirements.txt"
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)


PROGRAM = program(sys.argv[0], sys.modules["__main__"].__package__)
