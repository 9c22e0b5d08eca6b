"""Notes about a base, for the commands that have no plan to put them into."""

import sys

from ..base.model import Base


def print_notes(base: Base) -> None:
    """Print the choices that were made while the base was read, a line each on stderr."""
    for note in base.notes:
        print(f"note: {note}", file=sys.stderr)
