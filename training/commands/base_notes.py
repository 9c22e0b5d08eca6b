"""Print notes about a base, for commands without a run summary."""

import sys

from ..base.model import Base


def print_notes(base: Base) -> None:
    """Print the choices made while reading the base, a line each on stderr."""
    for note in base.notes:
        print(f"note: {note}", file=sys.stderr)
