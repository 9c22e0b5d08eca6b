"""Tables in Markdown."""

from collections.abc import Iterable, Sequence


def head(columns: Sequence[str], rule: str = "---") -> str:
    """Return the first two lines of a table; ``rule`` is the text under each column."""
    names = row(columns) if any(columns) else "|" + " |" * len(columns)
    return f"{names}\n|{'|'.join([rule] * len(columns))}|"


def row(cells: Iterable[object]) -> str:
    """Return one line of a table."""
    return f"| {' | '.join(map(str, cells))} |"
