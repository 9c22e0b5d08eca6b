"""Plots of the experiment: fidelity against control, cost, glasses, length of fine-tuning, guidance drift."""

import io
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from PIL import Image

from .settings import (
    ALONE,
    ASKED,
    CAPTIONED,
    CONCEPT_WEIGHTS,
    COST,
    DRIFT,
    GCFG,
    LENGTH,
    PAPER,
    PLAIN,
    PROMPT_END,
    SCALE,
    THRIFTY,
    TUNED,
    UNCAPTIONED,
    UNSHOWN,
    WEIGHTS,
    WINDOWED,
    WITHOUT_CAPTIONS,
    unshown_ways,
    until,
    windowed,
)
from .styles import GLASSES

Row = dict[str, Any]
# Colours for every kind of colour vision (Okabe and Ito).
BLUE, ORANGE, GREEN, RED, PURPLE = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7"
GRAY, BLACK, SKY = "#777777", "#000000", "#56B4E9"
DPI = 130


def write_plots(
    folder: Path, summary: Sequence[Row], floor: Mapping[str, float], drift: dict[str, list[float]] | None
) -> list[Path]:
    """Write every plot for which the rows have numbers.

    Args:
        folder: must exist.
        summary: from `rows.over_seeds`.
        floor: "fd" and "kid" of real training pictures.
        drift: from `drift.measure_drift`.
    """
    groups: dict[str, list[Row]] = {}
    for row in summary:
        groups.setdefault(row["group"], []).append(row)
    drawn = []
    if GCFG in groups:
        figure, panels = _fd_and_kid("Fidelity against control", 6.2)
        for axes, number in panels:
            _fidelity(axes, groups, number)
            axes.set_xlabel("control: share of attributes as asked")
        real = f"real pictures (FD {floor['fd']:.1f}; off the plot: KID {floor['kid']:.3f})"
        panels[0][0].axhline(floor["fd"], color=GRAY, linestyle=":", linewidth=1, label=real)
        drawn.append(_save_with_legend(figure, folder / "fidelity_control.png"))
    if COST in groups:
        figure, panels = _fd_and_kid(f"Cost of GCFG {THRIFTY[0]:g}, {THRIFTY[1]:g}", 5.8)
        for axes, number in panels:
            _cost(axes, groups, number)
            axes.set_xlabel("evaluations a step")
        drawn.append(_save_with_legend(figure, folder / "cost.png"))
    if UNSHOWN in groups:
        figure, panels = _fd_and_kid("Glasses, which the concept's pictures never show", 5.8)
        for axes, number in panels:
            _glasses(axes, groups[UNSHOWN], number)
            axes.set_xlabel("glasses: share as asked, some or none")
        drawn.append(_save_with_legend(figure, folder / "glasses.png"))
    if LENGTH in groups:
        figure, (control, fidelity) = _figure(columns=2, size=(10.0, 4.8))
        _length(control, groups[LENGTH], "control", "control: share of attributes as asked")
        _length(fidelity, groups[LENGTH], "fd", "FD to held-out pictures (lower is nearer)")
        fidelity.set_yscale("log")
        fidelity.yaxis.set_major_formatter(_plain)
        fidelity.yaxis.set_minor_formatter(_plain)
        figure.suptitle("Control and fidelity over the length of training")
        drawn.append(_save_with_legend(figure, folder / "length.png", columns=3))
    if drift:
        figure, (axes,) = _figure()
        _drift(axes, drift)
        drawn.append(_save(figure, folder / "drift.png"))
    return drawn


def _fidelity(axes: Axes, groups: dict[str, list[Row]], number: str) -> None:
    """Plot curves over the weight beside each point; the legend lists values that lie outside the plot."""
    _curve(axes, groups.get(CAPTIONED, []), number, "fine-tuned with captions + CFG", ORANGE, "s")
    _curve(axes, groups.get(UNCAPTIONED, []), number, UNCAPTIONED, BLACK, "v")
    for weight, colour in zip(CONCEPT_WEIGHTS, (BLUE, PURPLE), strict=True):
        rows = [row for row in groups[GCFG] if row["name"].startswith(f"GCFG {weight:g},")]
        _curve(axes, rows, number, f"GCFG, w_concept {weight:g}", colour, "o")
    label = f"GCFG, w_concept {THRIFTY[0]:g}, prompt{until(PROMPT_END)}"
    _curve(axes, groups.get(WINDOWED, []), number, label, GREEN, "D")
    _curve(axes, groups.get(DRIFT, []), number, "fine-tuned with captions, base's unconditional", RED, "^")
    for row in groups.get(PAPER, []):
        _points(axes, [row], number, row["name"], SKY, "*")
    for row in (*groups.get(PLAIN, []), *groups.get(ALONE, [])):
        axes.plot([], [], " ", label=f"off the plot: {row['name']} (control {row['control']:.2f}, FD {row['fd']:.1f}, "
                  f"KID {row['kid']:.2f})")  # fmt: skip


def _glasses(axes: Axes, rows: Sequence[Row], number: str) -> None:
    """Plot fidelity against control of an attribute that the concept never shows: curves over the weight."""
    looks = zip((ORANGE, RED, BLACK, PURPLE, SKY, GREEN, BLUE), "s^vo*DD", strict=True)
    for label, settings in unshown_ways().items():
        own = [row for row in rows if row["name"] in {one.name for one in settings}]
        if label != PLAIN:
            _curve(axes, own, number, label, *next(looks), across=GLASSES)
        for row in own if label == PLAIN else ():
            axes.plot([], [], " ", label=f"off the plot: {label} (glasses {row[GLASSES]:.2f}, FD {row['fd']:.1f}, "
                      f"KID {row['kid']:.2f})")  # fmt: skip
    axes.axvline(0.5, color=GRAY, linestyle=":", linewidth=1, label="the word does nothing")


def _cost(axes: Axes, groups: dict[str, list[Row]], number: str) -> None:
    """Plot a numbered point per setting; the legend explains the numbers."""
    longer = [row for row in groups.get(WINDOWED, []) if row["name"] == windowed(*THRIFTY).name]
    rows = sorted([*groups[COST], *longer], key=lambda row: row["evaluations"])
    for index, row in enumerate(rows, 1):
        at = (row["evaluations"], row[number])
        axes.errorbar(*at, row[f"{number}_std"], color=GREEN if row in longer else BLUE, marker="o", capsize=2,
                      label=f"{index}  {row['name']}: control {row['control']:.3f}")  # fmt: skip
        axes.annotate(str(index), at, xytext=(6, 4), textcoords="offset points")
    for best in sorted(groups.get(CAPTIONED, []), key=lambda row: row["fd"])[:1]:
        axes.axhline(best[number], color=ORANGE, linestyle="--", linewidth=1,
                     label=f"{best['name']}, the lowest FD of fine-tuned ({best['evaluations']:.2g} a step): "
                     f"control {best['control']:.3f}")  # fmt: skip
    axes.axvline(2.0, color=GRAY, linestyle=":", linewidth=1, label="plain CFG's evaluations")


def _length(axes: Axes, rows: Sequence[Row], number: str, label: str) -> None:
    ways = (
        ("GCFG", BLUE, f"GCFG {WEIGHTS[0]:g}, {WEIGHTS[1]:g}"),
        ("fine-tuned", ORANGE, f"fine-tuned with captions, CFG {SCALE:g}"),
        ("fine-tuned without captions", BLACK, f"fine-tuned without captions, CFG {SCALE:g}"),
    )
    for way, colour, shown in ways:
        own = sorted(((_steps(row["name"]), row) for row in rows if row["name"].startswith(f"{way} after ")),
                     key=lambda one: one[0])  # fmt: skip
        means, deviations = ([row[key] for _, row in own] for key in (number, f"{number}_std"))
        axes.errorbar([steps for steps, _ in own], means, deviations, color=colour, marker="o", capsize=2, label=shown)
    axes.set(xlabel="steps of training", ylabel=label, xscale="log")
    axes.set_xticks(sorted({_steps(row["name"]) for row in rows}))
    axes.xaxis.set_major_formatter(_plain)
    axes.xaxis.set_minor_locator(NullLocator())


def _drift(axes: Axes, drift: dict[str, list[float]]) -> None:
    lines = {TUNED: (ORANGE, "fine-tuned with captions"), WITHOUT_CAPTIONS: (BLACK, "fine-tuned without captions")}
    for name, (colour, label) in lines.items():
        if name in drift:
            axes.plot(drift["timesteps"], drift[name], color=colour, marker=".", label=label)
    axes.set(xlabel="timestep (999: pure noise)", ylabel="|| difference || / || base ||, in x0",
             title="Drift of the unconditional prediction")  # fmt: skip
    axes.legend(fontsize=8)


def _curve(
    axes: Axes, rows: Iterable[Row], number: str, label: str, colour: str, marker: str, across: str = "control"
) -> None:
    """Plot rows as a line with error bars, ordered by the weights, which stand beside the points."""
    rows = sorted(rows, key=lambda row: float(_weight(row["name"])))
    if rows:
        _points(axes, rows, number, label, colour, marker, across)
    for row in rows:
        axes.annotate(_weight(row["name"]), (row[across], row[number]), fontsize=7, color=colour, xytext=(4, 4),
                      textcoords="offset points")  # fmt: skip


def _points(
    axes: Axes, rows: Sequence[Row], number: str, label: str, colour: str, marker: str, across: str = "control"
) -> None:
    x, y, tall, wide = ([row[key] for row in rows] for key in (across, number, f"{number}_std", f"{across}_std"))
    axes.errorbar(x, y, tall, wide, color=colour, marker=marker, markersize=5, linewidth=1.2, capsize=2, label=label)


def _weight(name: str) -> str:
    """Return the weight that varies along a curve: 3 in "GCFG 1.25, 3 to 75 %", 2 in "fine-tuned, CFG 2, glasses"."""
    return re.sub(r" to \d+ %$", "", name.removesuffix(ASKED)).split()[-1]


def _steps(name: str) -> int:
    return next(int(word) for word in name.split() if word.isdigit())


def _plain(value: float, _: float) -> str:
    """Format a tick without powers of ten."""
    return f"{value:g}"


def _figure(columns: int = 1, size: tuple[float, float] = (7.2, 5.4)) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    found = [figure.add_subplot(1, columns, place) for place in range(1, columns + 1)]
    for axes in found:
        axes.grid(alpha=0.25)
    return figure, found


def _fd_and_kid(title: str, height: float) -> tuple[Figure, list[tuple[Axes, str]]]:
    """Return a figure with a panel per measure of fidelity, and the measure's name in the rows."""
    figure, panels = _figure(columns=2, size=(10.0, height))
    figure.suptitle(title)
    for axes, label in zip(panels, ("FD", "KID"), strict=True):
        axes.set_ylabel(f"{label} to held-out pictures (lower is nearer)")
    return figure, list(zip(panels, ("fd", "kid"), strict=True))


def _save_with_legend(figure: Figure, path: Path, columns: int = 2) -> Path:
    """Save with the first panel's legend below all panels."""
    found = figure.axes[0].get_legend_handles_labels()
    figure.legend(*found, loc="outside lower center", ncols=columns, fontsize=8)
    return _save(figure, path)


def _save(figure: Figure, path: Path) -> Path:
    """Save as a PNG with a palette, a third of the size."""
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=DPI)
    Image.open(drawn).convert("RGB").quantize(dither=Image.Dither.NONE).save(path, optimize=True)
    return path
