"""A sweep: one guidance graph and seed, with every combination of the values of one axis or two."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ..errors import InputError
from .axis_values import MOST_CELLS
from .curves import Cosine, Curve, Linear, Ramp
from .graph import GuidanceTerm, names_of
from .sampling_progress import Window

TERM_PARAMETERS = ("weight", "start_percent", "end_percent", "curve_end", "curve_ramp")
"""The parameters of a term that an axis can change, named as on Guidance Term."""
PARAMETERS = (*TERM_PARAMETERS, "rescale", "seed")

Target = tuple[int | None, str]
"""The target of an axis: the index of a term, or None for the whole graph, and the parameter."""


@dataclass(frozen=True)
class Axis:
    """A changing parameter, one of PARAMETERS. ``term``: label or number (from 1) of its term, if it has one."""

    parameter: str
    term: str
    values: tuple[float | int, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """Return the values as text, in four digits if they stay distinct."""
        short = tuple(str(value) if isinstance(value, int) else f"{value:.4g}" for value in self.values)
        return short if len(set(short)) == len(short) else tuple(map(repr, self.values))


@dataclass(frozen=True, eq=False)
class Settings:
    """The values that axes can change, as one cell is sampled with them."""

    terms: tuple[GuidanceTerm, ...] = ()
    rescale: float = 0.0
    seed: int = 0


@dataclass(frozen=True)
class Heading:
    """The text along a side of the grid: the name of the parameter, and a label for each value."""

    title: str
    labels: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Sweep:
    """The pictures of a sweep.

    Attributes:
        cells: the settings of every picture, row by row.
        columns, rows: the headings to the right and, with a second axis, downwards.
        weights: terms whose weight changes.
    """

    cells: tuple[Settings, ...]
    columns: Heading
    rows: Heading | None
    weights: frozenset[int]

    def name(self, k: int) -> str:
        """Describe a cell: 'weight of concept 1.5, seed 3'."""
        row, column = divmod(k, len(self.columns.labels))
        named = [f"{self.columns.title} {self.columns.labels[column]}"]
        if self.rows is not None:
            named.append(f"{self.rows.title} {self.rows.labels[row]}")
        return ", ".join(named)


def lay_out_sweep(settings: Settings, columns: Axis, rows: Axis | None = None) -> Sweep:
    """Combine every value of the axes; everything else stays as in ``settings``.

    Raises:
        InputError: an axis names a term that the chain does not have, or a parameter that this term does not have; both
            axes change the same parameter; there are more than MOST_CELLS combinations; a window ends before it begins.
    """
    axes = {"columns": columns} if rows is None else {"columns": columns, "rows": rows}
    targets = {side: _target(axis, settings.terms, side) for side, axis in axes.items()}
    titles = {side: _title(target, settings.terms) for side, target in targets.items()}
    if len(set(targets.values())) < len(targets):
        raise InputError.saying(
            "rows",
            f"They change the same as the columns: {titles['columns']}. Choose another parameter or another term on "
            "one of the two Sweep Axis nodes.",
        )
    headings = {side: Heading(titles[side], axis.labels) for side, axis in axes.items()}
    across = [{targets["columns"]: value} for value in columns.values]
    down = [{}] if rows is None else [{targets["rows"]: value} for value in rows.values]
    if len(across) * len(down) > MOST_CELLS:
        raise InputError(
            "columns and rows", f"at most {MOST_CELLS} pictures", f"{len(across)} x {len(down)}",
            "Leave values out, or sweep in several parts.",
        )  # fmt: skip
    cells = tuple(_changed(settings, upper | lower) for lower in down for upper in across)
    weights = frozenset(term for term, parameter in targets.values() if term is not None and parameter == "weight")
    return Sweep(cells, headings["columns"], headings.get("rows"), weights)


def _target(axis: Axis, terms: tuple[GuidanceTerm, ...], side: str) -> Target:
    if axis.parameter not in TERM_PARAMETERS:
        return None, axis.parameter
    index = _term_index(axis.term, terms, f"{side}: Sweep Axis, term")
    curve, name = terms[index].curve, names_of(terms)[index]
    wanted = {"curve_end": (Linear, Cosine), "curve_ramp": (Ramp,)}.get(axis.parameter)
    if wanted and not isinstance(curve, wanted):
        kinds = " or ".join(kind.__name__.lower() for kind in wanted)
        raise InputError(
            f"{side}: Sweep Axis, parameter {axis.parameter}", f"a term whose curve is {kinds}",
            f"{type(curve).__name__.lower()} on {name}", "Choose that curve on the Guidance Term.",
        )  # fmt: skip
    return index, axis.parameter


def _term_index(wanted: str, terms: tuple[GuidanceTerm, ...], input_name: str) -> int:
    """Return the index of the term with this label, or else with this number."""
    matches = [i for i, term in enumerate(terms) if term.label and term.label == wanted]
    if len(matches) == 1:
        return matches[0]
    numbers = [str(i + 1) for i in range(len(terms))]
    if not matches and wanted in numbers:
        return numbers.index(wanted)
    there = ", ".join(f"{number} ({name})" for number, name in zip(numbers, names_of(terms), strict=True))
    raise InputError(
        input_name, "the label or the number of one term",
        f"{wanted!r}" + (f", the label of {len(matches)} terms" if matches else ""),
        f"There are {there}." if terms else "There are none: connect Guidance Terms to the input terms.",
    )  # fmt: skip


def _title(target: Target, terms: tuple[GuidanceTerm, ...]) -> str:
    index, parameter = target
    return parameter if index is None else f"{parameter} of {names_of(terms)[index]}"


def _changed(settings: Settings, changes: Mapping[Target, float | int]) -> Settings:
    terms = list(settings.terms)
    for index in {index for index, _ in changes if index is not None}:
        own = {parameter: value for (term, parameter), value in changes.items() if term == index}
        terms[index] = _changed_term(terms[index], own, names_of(settings.terms)[index])
    rescale, seed = changes.get((None, "rescale"), settings.rescale), changes.get((None, "seed"), settings.seed)
    return Settings(tuple(terms), rescale, int(seed))


def _changed_term(term: GuidanceTerm, changes: Mapping[str, float], name: str) -> GuidanceTerm:
    """Apply all changes to one term together, because a window's start and end must fit each other."""
    start, end = changes.get("start_percent", term.window.start), changes.get("end_percent", term.window.end)
    if start > end:
        raise InputError.saying(
            "columns, rows",
            f"In one picture the window of {name} would end before it begins ({start:g} to {end:g}). Let every "
            "start_percent of the grid be less than every end_percent.",
        )
    curve = _changed_curve(term.curve, changes)
    return replace(term, weight=changes.get("weight", term.weight), window=Window(start, end), curve=curve)


def _changed_curve(curve: Curve, changes: Mapping[str, float]) -> Curve:
    if isinstance(curve, (Linear, Cosine)) and "curve_end" in changes:
        return replace(curve, end=changes["curve_end"])
    if isinstance(curve, Ramp) and "curve_ramp" in changes:
        return replace(curve, share=changes["curve_ramp"])
    return curve
