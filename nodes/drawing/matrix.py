"""A panel of squares: the terms that pull in the same direction and those that pull against each other."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ...gcfg_core.trace.summary import TermSummary
from ...gcfg_core.trace.table import cosine
from .canvas import Sheet
from .ruler import fit, line_height, one_line, width_of
from .theme import ink_on, mix

NAME = 9.5
LARGEST, SMALLEST = 0.52, 0.24
NAMES = 2.2
"""Largest width of the column of names."""
WORDS = (
    (0.5, "They push the same way."),
    (0.15, "They push partly the same way."),
    (-0.15, "They push neither with nor against each other."),
    (-0.5, "They push partly against each other."),
    (-1.0, "They push against each other."),
)
"""The meaning of two terms' cosine from this value up."""


def matrix_height(count: int) -> float:
    return count * _cell_height(count) + 0.3 + line_height(NAME)


def _cell_height(count: int) -> float:
    return max(SMALLEST, min(LARGEST, 2.4 / max(count, 1)))


def draw_matrix(sheet: Sheet, terms: Sequence[TermSummary], x: float, y: float, width: float) -> None:
    """Draw the panel with its upper left corner at (x, y): every pair of terms once, numbered at the left and below."""
    count, height = len(terms), _cell_height(len(terms))
    labels = [f"{i + 1}  {one_line(term.name)}" for i, term in enumerate(terms)]
    room = min(max(width_of(label, NAME) for label in labels) + 0.15, NAMES)
    cell = min((width - room) / count, 1.6 * height)
    for i, label in enumerate(labels):
        sheet.text(x, y + (i + 0.5) * height, fit(label, room - 0.12, NAME), NAME)
        for j in range(i):
            _draw_cell(sheet, terms[i].between[j], x + room + j * cell, y + i * height, cell, height)
    below = y + count * height + 0.13
    for j in range(count - 1):
        sheet.text(x + room + (j + 0.5) * cell, below, str(j + 1), NAME, ha="center", color=sheet.theme.muted)
    _draw_meaning(sheet, terms, x, below + 0.32)


def _draw_meaning(sheet: Sheet, terms: Sequence[TermSummary], x: float, y: float) -> None:
    """Write a sentence for two terms, or the two ends of the scale for more."""
    value = terms[1].between[0]
    if len(terms) == 2 and not math.isnan(value):
        sheet.text(x, y, next(words for least, words in WORDS if value >= least), NAME)
        return
    for color, words in ((sheet.theme.together, "+1 the same way"), (sheet.theme.against, "-1 against each other")):
        sheet.box(x, y - 0.07, 0.22, 0.14, color)
        sheet.text(x + 0.3, y, words, NAME, color=sheet.theme.muted)
        x += 0.55 + width_of(words, NAME)


def _draw_cell(sheet: Sheet, value: float, x: float, y: float, width: float, height: float) -> None:
    theme = sheet.theme
    end = theme.together if value > 0.0 else theme.against
    color = theme.grid if math.isnan(value) else mix(theme.grid, end, min(abs(value), 1.0))
    sheet.box(x + 0.02, y + 0.02, width - 0.04, height - 0.04, color)
    text, points = cosine(value), 9.0 if height > 0.3 else 7.5
    if width_of(text, points) < width - 0.06:
        sheet.text(x + 0.5 * width, y + 0.5 * height, text, points, ha="center", color=ink_on(color))
