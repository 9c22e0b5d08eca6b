"""A pen that writes on a sheet in pixels, for text that must fit beside pictures."""

from __future__ import annotations

from typing import Any

from .canvas import WIDTH, Sheet
from .ruler import DPI, fit, width_of
from .theme import Theme

SMALLEST = 10
"""Font size in pixels to which text shrinks before it is cut off."""


class Pen:
    """A sheet of this size in pixels, and its pen; positions are from the upper left."""

    def __init__(self, theme: Theme, width: int, height: int) -> None:
        self.inch = WIDTH / width
        self.sheet = Sheet(theme, width, height * self.inch)

    def write(
        self, x: float, y: float, text: str, room: float, letters: float, bold: bool = False, **style: Any
    ) -> None:
        """Write a line around height y; text wider than ``room`` becomes smaller, and is then cut off.

        Args:
            letters: font size.
            style: as for Sheet.text.
        """
        letters = shrunk(text, room, letters, bold)
        text = fit(text, room / DPI, _points(letters), bold)
        weight = "bold" if bold else "normal"
        size = _points(letters) * DPI * self.inch
        self.sheet.text(x * self.inch, y * self.inch, text, size, weight=weight, **style)

    def fill(self, x: float, y: float, width: float, height: float, color: str) -> None:
        self.sheet.box(*(edge * self.inch for edge in (x, y, width, height)), color)


def text_width(text: str, letters: float, bold: bool = False) -> float:
    """Return the width in pixels of one line in this font size."""
    return width_of(text, _points(letters), bold) * DPI


def shrunk(text: str, room: float, letters: float, bold: bool = False) -> float:
    """Return the font size, at most ``letters`` and at least SMALLEST, at which the text fits in ``room`` pixels."""
    return max(min(letters, letters * room / max(text_width(text, letters, bold), 1.0)), SMALLEST)


def _points(letters: float) -> float:
    """Convert a font size from pixels to points, at the ruler's pixels per inch."""
    return letters * 72.0 / DPI
