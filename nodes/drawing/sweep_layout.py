"""The positions and sizes of a sweep's pictures and of the text beside them."""

from __future__ import annotations

from functools import cached_property

from ...gcfg_core.guidance.sweep import Heading
from .pen import shrunk, text_width

ACROSS = 8
"""Largest number of columns of a sweep without rows; further pictures start a new line."""
LARGEST = 16000
"""Largest side of all pictures together in pixels; programs fail to show larger ones."""
LETTERS = 14
"""Font size of a small grid in pixels."""
LONGEST_LABEL = 13
"""Width of the rows' labels next to narrow pictures, in units of their font size."""


def shape_of(columns: Heading, rows: Heading | None) -> tuple[int, int]:
    """Return the number of pictures in a line, and the number of lines."""
    count = len(columns.labels)
    if rows is not None:
        return count, len(rows.labels)
    lines = -(-count // ACROSS)
    return -(-count // lines), lines


class Layout:
    """Positions and sizes in pixels from the upper left.

    Args:
        picture: height and width of a picture.
        size: longer side of a cell, at most; small pictures are enlarged by whole numbers.
    """

    def __init__(self, columns: Heading, rows: Heading | None, picture: tuple[int, int], size: int) -> None:
        self.columns, self.rows = columns, rows
        self.count = len(columns.labels) * (len(rows.labels) if rows else 1)
        self.across, self.down = shape_of(columns, rows)
        most, longer = min(size, LARGEST // max(self.across, self.down)), max(picture)
        self.side = longer * (most // longer) if most >= longer else most
        self.height, self.width = (max(round(edge * self.side / longer), 1) for edge in picture)

    @cached_property
    def letters(self) -> float:
        """Font size: grows with the grid, so that text is readable when the whole grid is shown."""
        return max(LETTERS, min(self.across * self.width / 70, self.width / 5))

    @cached_property
    def label_letters(self) -> float:
        """Font size at which no label of a column is wider than a picture."""
        return min(shrunk(label, self.width, self.letters) for label in self.columns.labels)

    @property
    def gap(self) -> int:
        return round(0.4 * self.letters)

    @property
    def line(self) -> int:
        """Height of a title line with its margin."""
        return round(1.9 * self.letters)

    @property
    def head(self) -> int:
        """Height of the columns' labels."""
        return round(1.5 * self.label_letters)

    @property
    def heads(self) -> int:
        """Number of picture lines with column labels above them."""
        return self.down if self.rows is None else 1

    @cached_property
    def room(self) -> float:
        """Width of the rows' labels."""
        labels = self.rows.labels if self.rows else ()
        widest = max((text_width(label, self.label_letters) for label in labels), default=0.0)
        return min(widest, max(self.width, LONGEST_LABEL * self.letters))

    @cached_property
    def left(self) -> int:
        """Left edge of the pictures."""
        return 2 * self.gap if self.rows is None else round(self.line + self.room) + 3 * self.gap

    @property
    def whole(self) -> tuple[int, int]:
        """Width and height of the grid, wider than the pictures if the title is longer."""
        title = min(text_width(self.columns.title, self.letters, bold=True), 40 * self.letters)
        across = max(self.across * (self.width + self.gap), round(title) + self.gap)
        down = self.line + self.heads * self.head + self.down * (self.height + self.gap)
        return self.left + across + self.gap, down + 2 * self.gap

    def corner(self, k: int) -> tuple[int, int]:
        """Return the upper left corner of picture k, row by row."""
        row, column = divmod(k, self.across)
        above = self.line + self.gap + min(row + 1, self.heads) * self.head
        return self.left + column * (self.width + self.gap), above + row * (self.height + self.gap)
