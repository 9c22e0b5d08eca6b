"""A panel of lines over sampling progress, each with its name at its end."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes

from ...gcfg_core.trace.series import Series
from .canvas import Sheet
from .ruler import fit, line_height, one_line, spread, width_of
from .theme import DASHES, MARKERS

NAME = 9.5
"""Font size of a line's name in points."""
SWATCH = 0.32
SQUASHED = 8.0
"""The largest value over the middle one from which on a scale is logarithmic at its ends."""
MOST_MARKERS = 30
TOTAL = -1


@dataclass(frozen=True)
class Line:
    """A series with its name and the text after the name; ``term`` is its number, or TOTAL."""

    name: str
    term: int
    series: Series
    note: str = ""


@dataclass(frozen=True)
class Scale:
    """The vertical axis: its ends, and its ticks with their names if they have any.

    Attributes:
        linear: values up to about this one are drawn in proportion, larger ones by their logarithm; 0: all in
            proportion.
    """

    low: float
    high: float
    ticks: tuple[tuple[float, str], ...] = ()
    linear: float = 0.0

    def depth(self, value: float) -> float:
        """Return how far below the top a value is drawn, as a share of the height."""
        low, high, at = map(self._stretched, (self.low, self.high, value))
        return (high - at) / (high - low)

    def _stretched(self, value: float) -> float:
        return math.asinh(value / self.linear) if self.linear else value


def scale_of(lines: Sequence[Line]) -> Scale:
    """Return the scale from the smallest to the largest value, with zero in it; of values of which a few are far larger
    than most, as in the first steps, a scale on which both can be read."""
    ranges = [ends for line in lines if (ends := line.series.range) is not None]
    low = min([0.0, *(low for low, _ in ranges)])
    high = max([0.0, *(high for _, high in ranges)])
    if low == high:
        return Scale(0.0, 1.0)
    sizes = sorted(abs(value) for line in lines for value in line.series.means if value and math.isfinite(value))
    linear = sizes[len(sizes) // 2] if sizes and max(-low, high) > SQUASHED * sizes[len(sizes) // 2] else 0.0
    room = 1.3 if linear else 1.08
    return Scale(room * low, room * high, _ticks(room * low, room * high, linear) if linear else (), linear)


def _ticks(low: float, high: float, linear: float) -> tuple[tuple[float, str], ...]:
    """Return zero, and 1, 3, 10, 30 ... from about ``linear`` to both ends."""
    first = math.floor(math.log10(linear))
    sizes = [digit * 10.0**power for power in range(first, first + 12) for digit in (1, 3)]
    sizes = [size for size in sizes if size >= 0.5 * linear]
    ticks = [*(-size for size in reversed(sizes) if size <= -low), 0.0, *(size for size in sizes if size <= high)]
    return tuple((tick, f"{tick:.6g}") for tick in ticks)


def names_height(lines: Sequence[Line]) -> float:
    """Return the smallest height at which the names do not touch."""
    return line_height(NAME) * (len(lines) + 0.5)


def names_width(names: Sequence[str]) -> float:
    """Return the width that the names need at the right."""
    return SWATCH + 0.2 + max((width_of(one_line(name), NAME) for name in names), default=0.0)


def draw_lines(
    sheet: Sheet, lines: Sequence[Line], scale: Scale, xs: Sequence[float], x: float, y: float, width: float,
    height: float, room: float,
) -> Axes:  # fmt: skip
    """Draw the panel with its upper left corner at (x, y) and the names in ``room`` inches at its right."""
    axes = sheet.axes(x, y, width, height)
    left = progress_start(xs)
    axes.set_xlim(left, 1.0)
    if scale.linear:
        axes.set_yscale("asinh", linear_width=scale.linear)
    axes.set_ylim(scale.low, scale.high)
    ticks = [k / 10 for k in range(11) if k / 10 >= left - 1e-9]
    axes.set_xticks(ticks, [f"{tick:.0%}" for tick in ticks])
    if scale.ticks:
        axes.set_yticks([at for at, _ in scale.ticks], [text for _, text in scale.ticks])
    else:
        axes.locator_params(axis="y", nbins=6)
    axes.grid(True, color=sheet.theme.grid, lw=0.8)
    axes.axhline(0.0, color=sheet.theme.muted, lw=0.9)
    for line in lines:
        _draw_line(axes, sheet, line, xs)
    _draw_names(sheet, lines, scale, x + width, y, height, room)
    return axes


def progress_start(xs: Sequence[float]) -> float:
    """Return the left end of the horizontal axis: 0, or with denoise below 1 the first progress, floored to tenths."""
    return min(math.floor(min(xs, default=0.0) * 10.0 + 1e-6) / 10.0, 0.9)


def _style(sheet: Sheet, term: int) -> tuple[str, tuple | str, float, str]:
    """Return colour, dashes, width and marker."""
    if term == TOTAL:
        return sheet.theme.muted, (0, (2.5, 1.5)), 2.6, ""
    dashes = DASHES[term // len(MARKERS) % len(DASHES)]
    return sheet.theme.term(term), (0, dashes) if dashes else "-", 2.0, MARKERS[term % len(MARKERS)]


def _draw_line(axes: Axes, sheet: Sheet, line: Line, xs: Sequence[float]) -> None:
    color, dashes, width, marker = _style(sheet, line.term)
    series, behind = line.series, 2 if line.term == TOTAL else 3
    if series.lows != series.highs:
        axes.fill_between(xs, series.lows, series.highs, color=color, alpha=0.18, lw=0, zorder=behind)
    axes.plot(xs, series.means, color=color, ls=dashes, lw=width, zorder=behind + 0.1, solid_capstyle="round")
    if marker:
        marked = [k for k in range(len(xs)) if len(xs) <= MOST_MARKERS or _stands_alone(series.means, k)]
        if not marked:
            marked = list(range(0, len(xs), max(len(xs) // 12, 1)))
        axes.plot(
            [xs[k] for k in marked], [series.means[k] for k in marked], marker, color=color, ms=4.6, mew=0,
            zorder=behind + 0.2, clip_on=False,
        )  # fmt: skip
    if (last := series.last) is not None:  # on to the name
        axes.plot([xs[last], 1.0], [series.means[last]] * 2, color=color, ls=(0, (1, 2.5)), lw=1.0, alpha=0.6, zorder=2)


def _stands_alone(values: Sequence[float], k: int) -> bool:
    """True if value k has no neighbour, so that no line goes through it."""
    beside = [values[n] for n in (k - 1, k + 1) if 0 <= n < len(values)]
    return not math.isnan(values[k]) and all(map(math.isnan, beside))


def _draw_names(
    sheet: Sheet, lines: Sequence[Line], scale: Scale, x: float, y: float, height: float, room: float
) -> None:
    """Draw marker and name of each line, as near to the height of its end as the other names allow."""
    wanted = []
    for line in lines:
        last = line.series.last
        value = scale.low if last is None else line.series.means[last]
        wanted.append(scale.depth(value) * height)
    half = 0.5 * line_height(NAME)
    for line, at in zip(lines, spread(wanted, line_height(NAME), half, max(height - half, half)), strict=True):
        color, dashes, width, marker = _style(sheet, line.term)
        missing = line.series.is_empty
        middle = [x + 0.1, x + 0.1 + 0.5 * SWATCH, x + 0.1 + SWATCH]
        alpha = 0.4 if missing else 1.0
        sheet.line(middle[::2], [y + at] * 2, color=color, ls=dashes, lw=width, alpha=alpha)
        if marker:
            sheet.line(middle[1:2], [y + at], color=color, marker=marker, ms=5.5, ls="", alpha=alpha, mew=0)
        name = fit(line.name, room - SWATCH - 0.2 - width_of(line.note, NAME), NAME) + line.note
        ink = sheet.theme.muted if missing or line.term == TOTAL else sheet.theme.ink
        sheet.text(x + SWATCH + 0.17, y + at, name, NAME, color=ink)
