"""Plots of the experiment's numbers: fidelity against control, cost, length of fine-tuning, guidance drift."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from .settings import (
    ALONE,
    CAPTIONED,
    CONCEPT_WEIGHTS,
    COST,
    DRIFT,
    GCFG,
    LENGTH,
    PLAIN,
    SCALE,
    THRIFTY,
    UNCAPTIONED,
    UNTIL,
    WEIGHTS,
    WINDOWED,
    windowed,
)

Row = dict[str, Any]
# Colours that people with any colour vision tell apart: Okabe and Ito's.
BLUE, ORANGE, GREEN, RED, PURPLE = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7"
GRAY, BLACK = "#777777", "#000000"
SIZE, DPI = (7.2, 4.8), 130


def write_plots(folder: Path, summary: Sequence[Row], floor: float, drift: dict[str, list[float]] | None) -> list[Path]:
    """Write every plot that the rows have numbers for.

    Args:
        folder: must exist.
        summary: as `rows.over_seeds` gives it.
        floor: FD of real pictures that were trained on.
        drift: as `drift.measure_drift` gives it.
    """
    groups: dict[str, list[Row]] = {}
    for row in summary:
        groups.setdefault(row["group"], []).append(row)
    drawn = []
    for name, draw in {"fidelity_control": _fidelity, "cost": _cost}.items():
        figure, (axes,) = _figure()
        if draw(axes, groups, floor):
            drawn.append(_save(figure, folder / f"{name}.png"))
    if LENGTH in groups:
        figure, (control, fidelity) = _figure(columns=2)
        _length(control, groups[LENGTH], "control", "control: share of attributes as asked")
        _length(fidelity, groups[LENGTH], "fd", "FD to held-out pictures (lower is nearer)")
        fidelity.set_yscale("log")
        control.legend(fontsize=8)
        figure.suptitle("Does fine-tuning forget the prompt?")
        drawn.append(_save(figure, folder / "length.png"))
    if drift:
        figure, (axes,) = _figure()
        _drift(axes, drift)
        drawn.append(_save(figure, folder / "drift.png"))
    return drawn


def _fidelity(axes: Axes, groups: dict[str, list[Row]], floor: float) -> bool:
    _curve(axes, groups.get(CAPTIONED, []), "fine-tuned with captions + CFG", ORANGE, "s")
    _curve(axes, groups.get(UNCAPTIONED, []), UNCAPTIONED, BLACK, "v")
    for weight, colour in zip(CONCEPT_WEIGHTS, (BLUE, PURPLE), strict=True):
        rows = [row for row in groups.get(GCFG, []) if row["name"].startswith(f"GCFG {weight:g},")]
        _curve(axes, rows, f"GCFG, w_concept {weight:g}", colour, "o")
    label = WINDOWED.replace(",", f", w_concept {THRIFTY[0]:g},")
    _curve(axes, groups.get(WINDOWED, []), label, GREEN, "o")
    _curve(axes, groups.get(DRIFT, []), "fine-tuned, base's unconditional", RED, "^")
    for name, marker in ((PLAIN, "X"), (ALONE, "D")):
        for row in groups.get(name, []):
            _points(axes, [row], row["name"], GRAY, marker)
    axes.axhline(floor, color=GRAY, linestyle=":", linewidth=1)
    axes.annotate(
        "real pictures", (0.01, floor), xycoords=("axes fraction", "data"), fontsize=8, color=GRAY, va="bottom"
    )
    axes.set(xlabel="control: share of attributes as asked", ylabel="FD to held-out pictures (lower is nearer)",
             yscale="log", title="Fidelity against control")  # fmt: skip
    axes.legend(fontsize=8)
    return bool(groups.get(GCFG))


def _cost(axes: Axes, groups: dict[str, list[Row]], floor: float) -> bool:
    rows = groups.get(COST, [])
    most = [row for row in groups.get(WINDOWED, []) if row["name"] == windowed(*THRIFTY).name]
    tuned = groups.get(CAPTIONED, [])
    for row, colour, marker in [*((r, BLUE, "o") for r in rows), *((r, GREEN, "D") for r in most)]:
        axes.errorbar(row["evaluations"], row["fd"], row["fd_std"], color=colour, marker=marker, capsize=2)
        axes.annotate(f"{row['name']} ({row['control']:.2f})", (row["evaluations"], row["fd"]), fontsize=7,
                      xytext=(5, 3), textcoords="offset points")  # fmt: skip
    if tuned:
        best = min(tuned, key=lambda row: row["fd"])
        axes.axhline(best["fd"], color=ORANGE, linestyle="--", linewidth=1)
        axes.annotate(f"{best['name']} ({best['control']:.2f})", (0.01, best["fd"]), fontsize=7, color=ORANGE,
                      xycoords=("axes fraction", "data"), va="bottom")  # fmt: skip
    axes.axvline(2.0, color=GRAY, linestyle=":", linewidth=1)
    axes.set(xlabel="evaluations a step (plain CFG: 2)", ylabel="FD to held-out pictures (lower is nearer)",
             title=f"Cost of GCFG {THRIFTY[0]:g}, {THRIFTY[1]:g} (in brackets: control)")  # fmt: skip
    axes.margins(x=0.25)
    return bool(rows)


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
    axes.set(xlabel="steps of fine-tuning", ylabel=label, xscale="log")


def _drift(axes: Axes, drift: dict[str, list[float]]) -> None:
    lines = {name: values for name, values in drift.items() if name != "timesteps"}
    for (name, values), colour in zip(lines.items(), (ORANGE, BLACK)[: len(lines)], strict=True):
        axes.plot(drift["timesteps"], values, color=colour, marker=".", label=name)
    axes.set(xlabel="timestep (999: pure noise)", ylabel="|| difference || / || base ||, in x0",
             title="Drift of the unconditional prediction")  # fmt: skip
    axes.legend(fontsize=8)


def _curve(axes: Axes, rows: Iterable[Row], label: str, colour: str, marker: str) -> None:
    """Rows as a line with error bars, in the order of their weights, which stand beside the points."""
    rows = sorted(rows, key=lambda row: float(_weight(row["name"])))
    if rows:
        _points(axes, rows, label, colour, marker)
    for row in rows:
        axes.annotate(_weight(row["name"]), (row["control"], row["fd"]), fontsize=7, color=colour, xytext=(4, 4),
                      textcoords="offset points")  # fmt: skip


def _points(axes: Axes, rows: Sequence[Row], label: str, colour: str, marker: str) -> None:
    axes.errorbar([row["control"] for row in rows], [row["fd"] for row in rows], [row["fd_std"] for row in rows],
                  [row["control_std"] for row in rows], color=colour, marker=marker, markersize=5, linewidth=1.2,
                  capsize=2, label=label)  # fmt: skip


def _weight(name: str) -> str:
    """The weight that a curve's points differ in: of "GCFG 1.25, 3 to 75 %" 3, of "fine-tuned, CFG 2" 2."""
    return name.removesuffix(UNTIL).split()[-1]


def _steps(name: str) -> int:
    return next(int(word) for word in name.split() if word.isdigit())


def _figure(columns: int = 1) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=SIZE, layout="constrained")
    FigureCanvasAgg(figure)
    found = [figure.add_subplot(1, columns, place) for place in range(1, columns + 1)]
    for axes in found:
        axes.grid(alpha=0.25)
    return figure, found


def _save(figure: Figure, path: Path) -> Path:
    figure.savefig(path, dpi=DPI)
    return path
