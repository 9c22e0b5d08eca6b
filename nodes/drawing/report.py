"""The picture of a trace: how hard each term pushes, in which direction, and the cost of the run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ...gcfg_core.trace import series as trace_series
from ...gcfg_core.trace.series import Read, positions, series
from ...gcfg_core.trace.summary import TermSummary, first_overflow, summarize_models, summarize_terms
from ...gcfg_core.trace.table import cost_line, overflow_line
from ...gcfg_core.trace.trace import Trace
from .bars import draw_bars, legend_height
from .canvas import WIDTH, Sheet
from .library import CHOICES
from .lines import TOTAL, Line, Scale, draw_lines, names_height, names_width, progress_start, scale_of
from .matrix import draw_matrix, matrix_height
from .ruler import line_height, width_of, wrap_formula
from .theme import Theme

LEFT, RIGHT = 0.95, 0.3
UNIT = 0.18
"""Place of a panel's unit from the left."""
SIZE = "root mean square, latent"
FORMULA = 10.0
HEAD = 0.62
"""Height above a panel for its title and explanation."""
GAP, BOTTOM = 0.42, 0.15
SIGMAS = 0.28
"""Height above the first panel of lines for the noise levels."""
ALL = "all together"
COSINES = Scale(-1.08, 1.08, ((-1.0, "-1"), (-0.5, "-0.5"), (0.0, "0"), (0.5, "+0.5"), (1.0, "+1")))


@dataclass(frozen=True)
class Panel:
    """A part of the picture: its height in inches without head, and the function that draws it at a place from the
    top."""

    title: str
    meaning: str
    height: float
    draw: Callable[[Sheet, float], None]


class Report:
    """The picture of one trace. All sizes are inches on a sheet 12 inches wide."""

    def __init__(self, trace: Trace, draw: str) -> None:
        self.trace = trace
        self.terms, self.models = summarize_terms(trace), summarize_models(trace)
        self.xs = positions(trace)
        self.notes = [_note(term) for term in self.terms]
        names = [term.name + note for term, note in zip(self.terms, self.notes, strict=True)]
        self.room = min(max(names_width([*names, ALL]) + 0.1, 1.3), 3.6)
        self.formula = wrap_formula(trace.formula, WIDTH - LEFT - RIGHT, FORMULA)
        self.has_noise = False  # whether a panel shows the noise levels: the first does
        panels = [getattr(self, f"_{name}")() for name in CHOICES[draw]]
        self.panels = [panel for panel in panels if panel is not None] or [self._push()]

    @property
    def head(self) -> float:
        return 0.9 + len(self.formula) * line_height(FORMULA)

    def sheet(self, theme: Theme, pixels: int) -> Sheet:
        """Draw everything on a sheet ``pixels`` wide."""
        height = self.head + sum(HEAD + panel.height + GAP for panel in self.panels) - GAP + BOTTOM
        sheet = Sheet(theme, pixels, height)
        self._draw_head(sheet)
        y = self.head
        for panel in self.panels:
            sheet.text(LEFT - 0.6, y + 0.12, panel.title, 12.5, weight="bold")
            sheet.text(LEFT - 0.6, y + 0.37, panel.meaning, 9.5, color=theme.muted)
            panel.draw(sheet, y + HEAD)
            y += HEAD + panel.height + GAP
        return sheet

    def _draw_head(self, sheet: Sheet) -> None:
        x = LEFT - 0.6
        sheet.text(x, 0.36, "Guidance report", 17, weight="bold")
        sheet.text(WIDTH - RIGHT, 0.38, cost_line(self.trace), 11, color=sheet.theme.muted, ha="right")
        for k, line in enumerate(self.formula):
            sheet.text(x, 0.78 + k * line_height(FORMULA), line, FORMULA, mono=True)

    def _lines(
        self, title: str, meaning: str, unit: str, read: Read, height: float, scale: Scale | None = None
    ) -> Panel:
        lines = []
        for i, term in enumerate(self.terms):
            values = series(self.trace, i, read)
            lines.append(Line(term.name, i, values, self.notes[i] if values.is_empty else ""))
        if read is trace_series.push and len(lines) > 1:
            lines.append(Line(ALL, TOTAL, series(self.trace, 0, trace_series.total)))
        height = max(height, names_height(lines))
        chosen = scale or scale_of(lines)
        width = WIDTH - LEFT - self.room - 0.1
        above, self.has_noise = 0.0 if self.has_noise else SIGMAS, True

        def draw(sheet: Sheet, y: float) -> None:
            draw_lines(sheet, lines, chosen, self.xs, LEFT, y + above, width, height, self.room)
            sheet.text(UNIT, y + above + 0.5 * height, unit, 9.5, rotation=90, ha="center", color=sheet.theme.muted)
            if above:
                self._draw_sigmas(sheet, LEFT, y + above, width)
            middle = LEFT + 0.5 * width, y + above + height + 0.4
            sheet.text(*middle, "progress of sampling, as in start_percent and end_percent", 9.5, ha="center",
                       color=sheet.theme.muted)  # fmt: skip
            if all(line.series.is_empty for line in lines):
                sheet.text(LEFT + 0.5 * width, y + above + 0.4 * height, self._why_empty(), 10, ha="center")

        ends = f"; above {chosen.linear:.2g} the axis is logarithmic" if chosen.linear else ""
        return Panel(title, meaning + ends, above + height + 0.5, draw)

    def _why_empty(self) -> str:
        """Return the text for a panel without lines."""
        if not self.terms:
            return "No terms: the base prediction is the result."
        if not any(term.acted for term in self.terms):
            return "No term acted in this run: weight 0, or outside its window."
        if (call := first_overflow(self.trace)) is not None:
            return overflow_line(call)
        return "Not measured: with these weights one side of every term had no part in the result and was left out."

    def _draw_sigmas(self, sheet: Sheet, x: float, y: float, width: float) -> None:
        """Write the noise level of some calls above a panel."""
        left = progress_start(self.xs)
        records = trace_series.in_order(self.trace)
        end, first = -1.0, _sigma_text(records[0].sigma) if records else ""
        sheet.text(x - 0.5 * width_of(first, 8.5) - 0.12, y - 0.13, "noise σ", 8.5, ha="right", color=sheet.theme.muted)
        for at, record in zip(self.xs, records, strict=True):
            place = x + (at - left) / (1.0 - left) * width
            if place - end >= 0.85 and place <= x + width + 0.01:
                sheet.text(place, y - 0.13, _sigma_text(record.sigma), 8.5, ha="center", color=sheet.theme.muted)
                sheet.line([place, place], [y - 0.04, y], color=sheet.theme.muted, lw=0.8)
                end = place

    def _push(self) -> Panel:
        return self._lines(
            "How hard each term pushes",
            "weight × size of its difference, after mask and modifiers; below zero for a negative weight",
            SIZE,
            trace_series.push,
            3.1,
        )

    def _weight(self) -> Panel:
        return self._lines("Weights", "what is set by weight, window and curve", "weight", trace_series.weight, 1.8)

    def _size(self) -> Panel:
        return self._lines(
            "Sizes", "how much the two predictions of a term differ, whatever its weight", SIZE, trace_series.size, 2.2
        )

    def _cosine(self) -> Panel | None:
        if len(self.terms) < 2:
            return None
        return self._lines(
            "Which way each term pushes",
            "cosine with all terms together: +1 the same way, 0 across, -1 against it",
            "cosine",
            trace_series.cosine,
            2.3,
            COSINES,
        )

    def _cost(self) -> Panel:
        below = 0.58 + legend_height(self.models)
        beside = len(self.terms) > 1
        squares = matrix_height(len(self.terms)) if beside else 0.0
        bars = max(1.7, squares - below)
        half = WIDTH / 2

        def draw(sheet: Sheet, y: float) -> None:
            width = half - LEFT - 0.3 if beside else WIDTH - LEFT - self.room - 0.1
            draw_bars(sheet, self.trace.records, self.models, LEFT, y, width, bars)
            if beside:
                self._draw_between(sheet, half + 0.2, y)

        return Panel("What it costs", "evaluations in every call", max(bars + below, squares), draw)

    def _draw_between(self, sheet: Sheet, x: float, y: float) -> None:
        """Draw the squares with their own head, beside another panel or alone."""
        sheet.text(x, y - HEAD + 0.12, "Do they pull together?", 12.5, weight="bold")
        sheet.text(x, y - HEAD + 0.37, "mean cosine of every two terms", 9.5, color=sheet.theme.muted)
        draw_matrix(sheet, self.terms, x, y, WIDTH - RIGHT - x)

    def _between(self) -> Panel | None:
        if len(self.terms) < 2:
            return None
        height = matrix_height(len(self.terms))
        return Panel("", "", height, lambda sheet, y: self._draw_between(sheet, LEFT - 0.6, y))


def _sigma_text(sigma: float) -> str:
    return f"{sigma:.0f}" if sigma >= 100.0 else f"{sigma:.3g}"


def _note(term: TermSummary) -> str:
    if term.acted == 0:
        return " (never acted)"
    return "" if term.measured else " (not measured)"
