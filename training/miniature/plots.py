"""Plots of the experiment's numbers: fidelity against control, cost, length of fine-tuning, guidance drift."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from .settings import CONCEPT_WEIGHTS

Row = dict[str, Any]
# Colours that people with any colour vision tell apart: Okabe and Ito's.
BLUE, ORANGE, GREEN, RED, PURPLE, GRAY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#777777"
SIZE, DPI = (7.2, 4.8), 130


def write_plots(folder: Path, summary: Sequence[Row], floor: float, drift: dict[str, list[float]] | None) -> list[Path]:
    """Write every plot that the rows have numbers for.

    Args:
        folder: must exist.
        summary: as `experiment.over_seeds` gives it.
        floor: FD of real pictures that were trained on.
        drift: as `drift.measure_drift` gives it.
    """
    groups: dict[str, list[Row]] = {}
    for row in summary:
        groups.setdefault(row["group"], []).append(row)
    drawn = []
    for name, draw in {"fidelity_control": _fidelity, "cost": _cost, "length": _length}.items():
        figure, axes = _figure()
        if draw(axes, groups, floor):
            drawn.append(_save(figure, folder / f"{name}.png"))
    if drift:
        figure, axes = _figure()
        _drift(axes, drift)
        drawn.append(_save(figure, folder / "drift.png"))
    return drawn


def _fidelity(axes: Axes, groups: dict[str, list[Row]], floor: float) -> bool:
    _curve(axes, groups.get("fine-tuned + CFG", []), "fine-tuned with text + CFG", ORANGE, "s", "CFG")
    for weight, colour in zip(CONCEPT_WEIGHTS, (BLUE, GREEN, PURPLE), strict=True):
        rows = [row for row in groups.get("GCFG", []) if row["name"].startswith(f"GCFG {weight:g},")]
        _curve(axes, rows, f"GCFG, w_concept {weight:g}", colour, "o", ",")
    _curve(axes, groups.get("unconditional of the base", []), "fine-tuned, base's unconditional", RED, "^", ",")
    for name, marker in (("base + CFG", "X"), ("concept alone", "D")):
        _curve(axes, groups.get(name, []), name, GRAY, marker, "")
    axes.axhline(floor, color=GRAY, linestyle=":", linewidth=1)
    axes.annotate(
        "real pictures", (0.01, floor), xycoords=("axes fraction", "data"), fontsize=8, color=GRAY, va="bottom"
    )
    axes.set(xlabel="control: share of attributes as asked", ylabel="FD to held-out pictures (lower is nearer)",
             yscale="log", title="Fidelity against control")  # fmt: skip
    axes.legend(fontsize=8)
    return bool(groups.get("GCFG"))


def _cost(axes: Axes, groups: dict[str, list[Row]], floor: float) -> bool:
    rows = groups.get("cost", [])
    full = [row for row in groups.get("GCFG", []) if row["name"] == "GCFG 1.5, 3"]
    tuned = groups.get("fine-tuned + CFG", [])
    for row, colour, marker in [*((r, BLUE, "o") for r in rows), *((r, GREEN, "D") for r in full)]:
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
             title="Cost (in brackets: control)")  # fmt: skip
    axes.margins(x=0.25)
    return bool(rows)


def _length(axes: Axes, groups: dict[str, list[Row]], floor: float) -> bool:
    rows = groups.get("length", [])
    for start, label, colour in (("GCFG after", "GCFG", BLUE), ("fine-tuned for", "fine-tuned with text", ORANGE)):
        own = sorted((_steps(row["name"]), row) for row in rows if row["name"].startswith(start))
        means, deviations = ([row[key] for _, row in own] for key in ("control", "control_std"))
        axes.errorbar([steps for steps, _ in own], means, deviations, color=colour, marker="o", capsize=2, label=label)
    axes.set(xlabel="steps of fine-tuning", ylabel="control: share of attributes as asked", xscale="log",
             title="Does fine-tuning forget the prompt?")  # fmt: skip
    if rows:
        axes.legend(fontsize=8)
    return bool(rows)


def _drift(axes: Axes, drift: dict[str, list[float]]) -> None:
    for (name, values), colour in zip(drift.items(), (BLUE, ORANGE, GREEN, PURPLE, RED), strict=False):
        if name != "timesteps":
            axes.plot(drift["timesteps"], values, color=colour, marker=".", label=name)
    axes.set(xlabel="timestep (999: pure noise)", ylabel="|| difference || / || base ||, in x0",
             title="Drift of the unconditional prediction")  # fmt: skip
    axes.legend(fontsize=8)


def _curve(axes: Axes, rows: Iterable[Row], label: str, colour: str, marker: str, told: str) -> None:
    """Rows as a line with error bars; the last word of each name beside its point, where ``told`` ends the rest."""
    rows = list(rows)
    if not rows:
        return
    axes.errorbar([row["control"] for row in rows], [row["fd"] for row in rows], [row["fd_std"] for row in rows],
                  [row["control_std"] for row in rows], color=colour, marker=marker, markersize=5, linewidth=1.2,
                  capsize=2, label=label)  # fmt: skip
    for row in rows if told else ():
        axes.annotate(row["name"].split()[-1], (row["control"], row["fd"]), fontsize=7, color=colour, xytext=(4, 4),
                      textcoords="offset points")  # fmt: skip


def _steps(name: str) -> int:
    return next(int(word) for word in name.replace(",", "").split() if word.isdigit())


def _figure() -> tuple[Figure, Axes]:
    figure = Figure(figsize=SIZE, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.grid(alpha=0.25)
    return figure, axes


def _save(figure: Figure, path: Path) -> Path:
    figure.savefig(path, dpi=DPI)
    return path
