"""A picture with text that says why there is nothing to draw."""

from __future__ import annotations

from collections.abc import Sequence

from .canvas import WIDTH, Sheet
from .ruler import line_height, wrap
from .theme import Theme

POINTS = 13.0
EDGE = 0.6


def draw_notice(title: str, sentences: Sequence[str], theme: Theme, pixels: int) -> Sheet:
    lines = [line for sentence in sentences for line in wrap(sentence, WIDTH - 2 * EDGE, POINTS)]
    sheet = Sheet(theme, pixels, 1.7 + len(lines) * line_height(POINTS))
    sheet.text(EDGE, 0.7, title, 17, weight="bold")
    for k, line in enumerate(lines):
        sheet.text(EDGE, 1.25 + k * line_height(POINTS), line, POINTS)
    return sheet
