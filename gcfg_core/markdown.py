"""Tables in Markdown."""

from collections.abc import Iterable, Sequence


def head(columns: Sequence[str], rule: str = "---") -> str:
    """The first two lines of a table; ``rule`` is what stands under each column."""
    names = row(columns) if any(columns) else "|" + " |" * len(columns)
    return f"{names}\n|{'|'.join([rule] * len(columns))}|"


def row(cells: Iterable[object]) -> str:
    """One line of a table."""
    return f"| {' | '.join(map(str, cells))} |"
