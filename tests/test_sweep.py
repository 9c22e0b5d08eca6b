"""A sweep before anything is sampled: which values an axis has, and with what each cell is sampled."""

import re
from fractions import Fraction
from typing import Any

import pytest

from gcfg_core.errors import InputError
from gcfg_core.guidance.axis_values import MOST_CELLS, parse_values
from gcfg_core.guidance.curves import Cosine, Linear, Ramp
from gcfg_core.guidance.graph import GuidanceTerm
from gcfg_core.guidance.modifiers import NormCap
from gcfg_core.guidance.sampling_progress import Window
from gcfg_core.guidance.sweep import PARAMETERS, Axis, Settings, lay_out_sweep

CONCEPT = GuidanceTerm(weight=2.0, curve=Linear(0.5), label="concept", modifiers=(NormCap(3.0),))
CONTROL = GuidanceTerm(weight=3.0, curve=Ramp(0.2), window=Window(0.1, 0.5), label="control")
UNNAMED = GuidanceTerm(weight=-1.0, curve=Cosine(0.1))
WIRED = Settings((CONCEPT, CONTROL, UNNAMED), 0.3, 7)


class TestValues:
    @pytest.mark.parametrize(
        ("text", "values"),
        [
            ("0, 0.75, 1.5, 3", [0, 0.75, 1.5, 3]),
            ("-2,+.5,3.", [-2, 0.5, 3]),
            ("1\n2,\n 3 ,", [1, 2, 3]),
            ("0:3:5", [0, 0.75, 1.5, 2.25, 3]),
            ("3:0:3", [3, 1.5, 0]),
            ("0, 1:2:2, 5", [0, 1, 2, 5]),
            ("18446744073709551615, 18446744073709551614", [2**64 - 1, 2**64 - 2]),
        ],
    )
    def test_reads(self, text: str, values: list) -> None:
        assert list(parse_values(text)) == [Fraction(value) for value in values]

    def test_even_steps_are_the_numbers_that_one_would_write(self) -> None:
        assert [float(value) for value in parse_values("0:1:11")] == [k / 10 for k in range(11)]

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("", "values: There are none. Write at least one: numbers like 0, "),
            (" , \n", "There are none"),
            ("1, two", "got 'two'. Separate values by commas"),
            ("1; 2", "got '1; 2'"),
            ("nan", "got 'nan'"),
            ("inf", "got 'inf'"),
            ("1e400000000", "got '1e400000000'"),
            ("0:1", "got '0:1'"),
            ("0:1:x", "got '0:1:x'"),
            ("0:1:2:3", "got '0:1:2:3'"),
            ("0:1:-3", "got '0:1:-3'"),
            ("0:1:1", "expected a count of at least 2 in start:end:count, got '0:1:1'"),
            ("0:1:999999999", f"expected at most {MOST_CELLS}, got 999999999. Sweep in several parts"),
            (", ".join(map(str, range(MOST_CELLS + 1))), f"expected at most {MOST_CELLS}, got {MOST_CELLS + 1}"),
            ("1, 2, 1.0", "expected different numbers, got 1 twice"),
            ("3:3:2", "got 3 twice"),
            ("9" * 5000, "got '9999"),
        ],
    )
    def test_refuses(self, text: str, said: str) -> None:
        with pytest.raises(InputError, match=said):
            parse_values(text)


class TestAxis:
    def test_labels_are_short_and_tell_values_apart(self) -> None:
        assert Axis("weight", "1", (0.0, 1 / 3, -2.5)).labels == ("0", "0.3333", "-2.5")
        assert Axis("weight", "1", (1.00001, 1.00002)).labels == ("1.00001", "1.00002")
        assert Axis("seed", "", (2**64 - 1, 3)).labels == ("18446744073709551615", "3")


class TestCells:
    def test_rows_of_columns(self) -> None:
        sweep = lay_out_sweep(WIRED, Axis("weight", "control", (1.0, 2.0)), Axis("weight", "concept", (0.0, 5.0, 6.0)))
        weights = [(cell.terms[0].weight, cell.terms[1].weight) for cell in sweep.cells]
        assert weights == [(0.0, 1.0), (0.0, 2.0), (5.0, 1.0), (5.0, 2.0), (6.0, 1.0), (6.0, 2.0)]
        assert sweep.columns.title == "weight of control" and sweep.columns.labels == ("1", "2")
        assert sweep.rows is not None
        assert sweep.rows.title == "weight of concept" and sweep.rows.labels == ("0", "5", "6")
        assert sweep.weights == {0, 1}
        assert sweep.name(3) == "weight of control 2, weight of concept 5"

    def test_one_axis(self) -> None:
        sweep = lay_out_sweep(WIRED, Axis("seed", "", (4, 5)))
        assert [cell.seed for cell in sweep.cells] == [4, 5] and sweep.rows is None and not sweep.weights
        assert sweep.columns.title == "seed" and sweep.name(1) == "seed 5"

    @pytest.mark.parametrize(
        ("axis", "changed"),
        [
            (Axis("weight", "concept", (9.0,)), lambda cell: cell.terms[0].weight),
            (Axis("start_percent", "control", (0.3,)), lambda cell: cell.terms[1].window.start),
            (Axis("end_percent", "control", (0.9,)), lambda cell: cell.terms[1].window.end),
            (Axis("curve_end", "concept", (-1.0,)), lambda cell: cell.terms[0].curve.end),
            (Axis("curve_end", "3", (0.7,)), lambda cell: cell.terms[2].curve.end),
            (Axis("curve_ramp", "2", (0.4,)), lambda cell: cell.terms[1].curve.share),
            (Axis("rescale", "", (0.8,)), lambda cell: cell.rescale),
            (Axis("seed", "", (12,)), lambda cell: cell.seed),
        ],
    )
    def test_only_that_changes(self, axis: Axis, changed: Any) -> None:
        (cell,) = lay_out_sweep(WIRED, axis).cells
        assert changed(cell) == axis.values[0] != changed(WIRED)
        for after, before in zip(cell.terms, WIRED.terms, strict=True):
            for name in ("positive", "reference", "mask", "modifiers", "label"):
                assert getattr(after, name) is getattr(before, name)
        differences = [
            (after, before)
            for after, before in zip(_facts(cell), _facts(WIRED), strict=True)
            if after != before
        ]  # fmt: skip
        assert len(differences) == 1

    def test_every_parameter_is_tried_above(self) -> None:
        tried = {"weight", "start_percent", "end_percent", "curve_end", "curve_ramp", "rescale", "seed"}
        assert tried == set(PARAMETERS)

    def test_start_and_end_change_together(self) -> None:
        """Although the window would be wrong with only the first of both."""
        sweep = lay_out_sweep(
            WIRED, Axis("start_percent", "control", (0.6, 0.7)), Axis("end_percent", "control", (0.8,))
        )
        assert [cell.terms[1].window for cell in sweep.cells] == [Window(0.6, 0.8), Window(0.7, 0.8)]

    def test_the_label_counts_before_the_number(self) -> None:
        terms = GuidanceTerm(weight=1.0), GuidanceTerm(weight=1.0, label="1")
        (cell,) = lay_out_sweep(Settings(terms), Axis("weight", "1", (5.0,))).cells
        assert [term.weight for term in cell.terms] == [1.0, 5.0]

    def test_a_whole_grid_fits(self) -> None:
        axes = Axis("seed", "", tuple(range(16))), Axis("rescale", "", tuple(k / 16 for k in range(16)))
        assert len(lay_out_sweep(WIRED, *axes).cells) == MOST_CELLS


def _facts(settings: Settings) -> list[Any]:
    terms = [fact for term in settings.terms for fact in (term.weight, term.window, term.curve)]
    return [*terms, settings.rescale, settings.seed]


TWICE = Settings((GuidanceTerm(label="a"), GuidanceTerm(label="a")))
WEIGHTS = Axis("weight", "concept", (1.0, 2.0))


@pytest.mark.parametrize(
    ("settings", "axes", "said"),
    [
        (
            WIRED, [Axis("weight", "conzept", (1.0,))],
            "columns: Sweep Axis, term: expected the label or the number of one term, got 'conzept'. "
            "There are 1 (concept), 2 (control), 3 (term 3).",
        ),
        (WIRED, [WEIGHTS, Axis("weight", "4", (1.0,))], "rows: Sweep Axis, term: expected"),
        (WIRED, [Axis("weight", "0", (1.0,))], "got '0'"),
        (WIRED, [Axis("weight", "", (1.0,))], "got ''"),
        (Settings(), [WEIGHTS], "There are none: connect Guidance Terms to the input terms."),
        (TWICE, [Axis("weight", "a", (1.0,))], "got 'a', the label of 2 terms. There are 1 (a), 2 (a)."),
        (
            WIRED, [Axis("curve_end", "control", (1.0,))],
            "columns: Sweep Axis, parameter curve_end: expected a term whose curve is linear or cosine, got ramp on "
            "control. Choose that curve on the Guidance Term.",
        ),
        (WIRED, [Axis("curve_ramp", "concept", (0.1,))], "expected a term whose curve is ramp, got linear on concept"),
        (
            WIRED, [WEIGHTS, Axis("weight", "1", (3.0,))],
            "rows: They change the same as the columns: weight of concept.",
        ),
        (WIRED, [Axis("seed", "1", (1,)), Axis("seed", "2", (2,))], "the same as the columns: seed"),
        (
            WIRED, [Axis("seed", "", tuple(range(20))), Axis("weight", "1", tuple(map(float, range(20))))],
            "columns and rows: expected at most 256 pictures, got 20 x 20. Leave values out",
        ),
        (
            WIRED, [Axis("start_percent", "control", (0.2, 0.6))],
            "columns, rows: In one picture the window of control would end before it begins (0.6 to 0.5). Let every",
        ),
    ],
)  # fmt: skip
def test_refuses(settings: Settings, axes: list[Axis], said: str) -> None:
    with pytest.raises(InputError, match=re.escape(said)):
        lay_out_sweep(settings, *axes)
