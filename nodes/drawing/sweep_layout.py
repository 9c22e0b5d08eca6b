"""Where the pictures of a sweep stand, and how large they and the texts beside them are."""

from __future__ import annotations

from functools import cached_property

from ...gcfg_core.guidance.sweep import Heading
from .pen import shrunk, text_width

ACROSS = 8
"""The most columns of a sweep without rows; further ones stand in the next line."""
LARGEST = 16000
"""Pixels of a side of all pictures together: beyond that, programs fail to show them."""
LETTERS = 14
"""Font size of a small grid in pixels."""
LONGEST_LABEL = 13
"""Room for the labels of rows, in heights of their letters, where the pictures are narrower."""


def shape_of(columns: Heading, rows: Heading | None) -> tuple[int, int]:
    """How many pictures stand beside each other, and how many below."""
    count = len(columns.labels)
    if rows is not None:
        return count, len(rows.labels)
    lines = -(-count // ACROSS)
    return -(-count // lines), lines


class Layout:
    """All in pixels from the upper left.

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
        """Font size: grows with the grid, so that it can be read where all of it is looked at."""
        return max(LETTERS, min(self.across * self.width / 70, self.width / 5))

    @cached_property
    def label_letters(self) -> float:
        """Font size at which every label of the columns is at most as wide as a picture."""
        return min(shrunk(label, self.width, self.letters) for label in self.columns.labels)

    @property
    def gap(self) -> int:
        return round(0.4 * self.letters)

    @property
    def line(self) -> int:
        """Height of a title with the room that it takes."""
        return round(1.9 * self.letters)

    @property
    def head(self) -> int:
        """Height of the labels of columns."""
        return round(1.5 * self.label_letters)

    @property
    def heads(self) -> int:
        """How many lines of pictures have such labels above them."""
        return self.down if self.rows is None else 1

    @cached_property
    def room(self) -> float:
        """Width of the labels of rows."""
        labels = self.rows.labels if self.rows else ()
        widest = max((text_width(label, self.label_letters) for label in labels), default=0.0)
        return min(widest, max(self.width, LONGEST_LABEL * self.letters))

    @cached_property
    def left(self) -> int:
        """Where the pictures begin."""
        return 2 * self.gap if self.rows is None else round(self.line + self.room) + 3 * self.gap

    @property
    def whole(self) -> tuple[int, int]:
        """Width and height of the grid: of the pictures, or more where the title is longer."""
        title = min(text_width(self.columns.title, self.letters, bold=True), 40 * self.letters)
        across = max(self.across * (self.width + self.gap), round(title) + self.gap)
        down = self.line + self.heads * self.head + self.down * (self.height + self.gap)
        return self.left + across + self.gap, down + 2 * self.gap

    def corner(self, k: int) -> tuple[int, int]:
        """Upper left of picture k, row by row."""
        row, column = divmod(k, self.across)
        above = self.line + self.gap + min(row + 1, self.heads) * self.head
        return self.left + column * (self.width + self.gap), above + row * (self.height + self.gap)
