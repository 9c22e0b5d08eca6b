"""A panel of bars: the evaluations in every sampler call, by model."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.ticker import MaxNLocator

from ...gcfg_core.trace.summary import ModelSummary
from ...gcfg_core.trace.table import count, seconds
from ...gcfg_core.trace.trace import CallRecord
from .canvas import Sheet
from .ruler import fit, line_height

LEGEND = 9.5
SWATCH = 0.22
HATCHES = ("", "////", "....", "\\\\\\\\", "xxxx")


def legend_height(models: Sequence[ModelSummary]) -> float:
    return line_height(LEGEND) * len(models)


def draw_bars(
    sheet: Sheet, records: Sequence[CallRecord], models: Sequence[ModelSummary], x: float, y: float, width: float,
    height: float,
) -> None:  # fmt: skip
    """Draw the panel with its upper left corner at (x, y), and below it a line with the cost of each model."""
    axes = sheet.axes(x, y, width, height)
    calls = range(1, len(records) + 1)
    floor = [0] * len(records)
    for i, _ in enumerate(models):
        counts = [record.evaluations[i] for record in records]
        axes.bar(
            calls, counts, 0.86, floor, color=sheet.theme.model(i), hatch=_hatch(sheet, i), lw=0,
            edgecolor=sheet.theme.ground,
        )  # fmt: skip
        floor = [below + above for below, above in zip(floor, counts, strict=True)]
    axes.set_xlim(0.4, max(len(records), 1) + 0.6)
    axes.set_ylim(0, max([1, *floor]) * 1.05)
    axes.xaxis.set_major_locator(MaxNLocator(min(max(len(records) - 1, 1), 12), integer=True, min_n_ticks=1))
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1))
    axes.grid(True, axis="y", color=sheet.theme.grid, lw=0.8)
    sheet.text(x + 0.5 * width, y + height + 0.38, "sampler call", 9.5, color=sheet.theme.muted, ha="center")
    for i, model in enumerate(models):
        middle = y + height + 0.68 + i * line_height(LEGEND)
        sheet.box(
            x, middle - 0.07, SWATCH, 0.14, sheet.theme.model(i), hatch=_hatch(sheet, i), edgecolor=sheet.theme.ground
        )
        cost = f"{count(model.evaluations, 'evaluation')}, {seconds(model.seconds)}"
        name = fit(f"{model.name}:", width - SWATCH - 2.6, LEGEND)
        sheet.text(x + SWATCH + 0.1, middle, f"{name} {cost}", LEGEND)


def _hatch(sheet: Sheet, i: int) -> str:
    """Return no hatching for the first model, then patterns that separate the areas without colour."""
    return HATCHES[i % len(HATCHES)]
