"""A trace as table, CSV and JSON: parsed back, the numbers are those of the trace."""

import csv
import dataclasses
import io
import json
import math
from typing import Any

import pytest
import torch

import gcfg_core.trace.trace
from gcfg_core.trace.file import csv_columns, trace_csv, trace_json
from gcfg_core.trace.summary import first_overflow, summarize_models, summarize_terms
from gcfg_core.trace.table import trace_markdown
from gcfg_core.trace.trace import Trace
from rigs.traces import made_trace


def trace_of(**options: Any) -> Trace:
    return made_trace(gcfg_core.trace.trace, **options)


def awkward() -> Trace:
    """A batch, a negative and an unmeasured term, one that never acts, labels that need quoting, twice the same one."""
    return trace_of(
        terms=('a, "b"', "same", "same", "= 1 | 2\n"), batch=3, weights=(2.5, -1.5, 0.0, 1.0), unmeasured={3}, calls=4
    )


def overflowing(calls: int = 4, first: int = 3) -> Trace:
    """A trace whose differences are infinite from a call on."""
    trace = Trace("D", ("a", "b"), ("base",))
    trace.begin()
    for call in range(1, calls + 1):
        one = torch.full((1, 4), math.inf if call >= first else 1.0)
        given = {0: one, 1: -one}
        trace.add(torch.tensor([1.0]), [1.0, 1.0], given, given, [1], (0.0, 1.0), [(0.0, 1.0)])
    trace.finish()
    return trace


class TestCsv:
    @pytest.mark.parametrize("trace", [trace_of(), trace_of(batch=3, start=0.5), awkward(), trace_of(terms=())])
    def test_parsed_back_it_is_the_trace(self, trace: Trace) -> None:
        rows = list(csv.reader(io.StringIO(trace_csv(trace), newline="")))
        head, rows = rows[0], rows[1:]
        batch = 3 if "3" in {row[1] for row in rows} else 1
        assert head == csv_columns(trace) and len(set(head)) == len(head)
        assert len(rows) == len(trace.records) * batch
        count, models = len(trace.terms), len(trace.models)
        for k, row in enumerate(rows):
            record, sample = trace.records[k // batch], k % batch
            assert row[:2] == [str(k // batch + 1), str(sample + 1)]
            numbers = iter(row[2:])
            assert [float(next(numbers)) for _ in range(3)] == [record.progress, record.sigma, record.seconds]
            self.check(next(numbers), record.total, sample)
            assert [int(next(numbers)) for _ in range(models)] == list(record.evaluations)
            assert [float(next(numbers)) for _ in range(models)] == list(record.model_seconds)
            assert [float(next(numbers)) for _ in range(count)] == list(record.weights)
            for columns in (record.sizes, record.pushes, record.cosines):
                for samples in columns:
                    self.check(next(numbers), samples, sample)
            for i in range(count):
                for j in range(i + 1, count):
                    self.check(next(numbers), record.between[i][j], sample)
            assert next(numbers, None) is None

    @staticmethod
    def check(cell: str, samples: tuple[float, ...] | None, sample: int) -> None:
        if samples is None:
            assert cell == ""
        else:
            assert float(cell) == samples[sample] or math.isnan(float(cell)) and math.isnan(samples[sample])

    def test_columns_have_names_that_say_what_they_hold(self) -> None:
        columns = csv_columns(trace_of())
        assert columns[:6] == ["call", "sample", "progress", "sigma", "seconds", "total push"]
        assert columns[6:10] == ["evaluations: base", "evaluations: concept", "seconds: base", "seconds: concept"]
        assert columns[10:12] == ["weight: concept", "weight: control"]
        assert columns[-1] == "cosine: concept / control"
        assert "size: same (2)" in csv_columns(awkward())


class TestJson:
    @pytest.mark.parametrize("trace", [trace_of(batch=2), awkward(), trace_of(terms=())])
    def test_parsed_back_it_is_the_trace(self, trace: Trace) -> None:
        content = json.loads(trace_json(trace))
        assert content["formula"] == trace.formula
        assert (tuple(content["terms"]), tuple(content["models"])) == (trace.terms, trace.models)
        for call, record in zip(content["calls"], trace.records, strict=True):
            for name in ("sigma", "progress", "seconds"):
                assert call[name] == getattr(record, name)
            for name in ("weights", "evaluations", "model_seconds"):
                assert tuple(call[name]) == getattr(record, name)
            for name in ("sizes", "pushes", "cosines"):
                assert [one and tuple(one) for one in call[name]] == list(getattr(record, name))
            assert [[one and tuple(one) for one in row] for row in call["between"]] == list(map(list, record.between))

    def test_what_is_not_defined_is_null(self) -> None:
        trace, one = Trace("D", ("a", "b"), ("base",)), torch.ones(1, 4)
        trace.add(torch.tensor([1.0]), [1.0, 1.0], {0: one, 1: -one}, {0: one, 1: -one}, [1], (0.0, 1.0), [(0.0, 1.0)])
        trace.finish()
        (call,) = json.loads(trace_json(trace))["calls"]
        assert call["progress"] is None and call["cosines"] == [[None], [None]] and call["between"][0][1] == [-1.0]

    def test_what_overflowed_is_null_in_json(self) -> None:
        """A reader that is strict about JSON refuses Infinity."""
        (call,) = json.loads(trace_json(overflowing(calls=1, first=1)))["calls"]
        assert call["sizes"] == [[None], [None]] and call["pushes"][0] == [None]

    def test_says_which_run_it_is(self) -> None:
        trace = trace_of(calls=2)
        assert json.loads(trace_json(trace))["run"] == 1
        trace.begin()
        assert json.loads(trace_json(trace))["run"] == 2


class TestSummary:
    def test_means_are_over_the_calls_in_which_a_term_acted(self) -> None:
        trace = trace_of(windows=[(0.0, 0.5), (0.0, 1.0)], weights=(3.0, -2.0), calls=4)
        concept, control = summarize_terms(trace)
        assert (concept.acted, concept.measured, concept.weight) == (2, 2, 3.0)
        assert (control.acted, control.measured, control.weight) == (4, 4, -2.0)
        sizes = [record.sizes[0][0] for record in trace.records[:2]]  # type: ignore[index]
        assert concept.size == pytest.approx(sum(sizes) / 2)
        assert concept.push == pytest.approx(3.0 * concept.size, rel=1e-5)
        assert concept.between[1] == control.between[0]

    def test_models_add_up(self) -> None:
        base, concept = summarize_models(trace_of(calls=4))
        assert (base.evaluations, base.seconds) == (8, 1.0)
        assert (concept.evaluations, concept.seconds) == (2, 0.5)

    def test_terms_without_numbers(self) -> None:
        never, unmeasured = summarize_terms(trace_of(weights=(0.0, 1.0), unmeasured={1}))
        assert (never.acted, unmeasured.acted, unmeasured.measured) == (0, 6, 0)
        assert math.isnan(never.weight) and math.isnan(unmeasured.size) and math.isnan(unmeasured.cosine)

    def test_means_leave_out_what_overflowed(self) -> None:
        trace = overflowing(calls=4, first=3)
        assert [term.size for term in summarize_terms(trace)] == [1.0, 1.0]
        assert first_overflow(trace) == 3 and first_overflow(trace_of()) is None


class TestTable:
    def test_tells_a_run_that_is_not_the_first(self) -> None:
        trace = trace_of(calls=4)
        assert "run 1" not in trace_markdown(trace) and "last run" not in trace_markdown(trace)
        trace.runs = 2
        assert "run 2 of this guider: 4 calls" in trace_markdown(trace)
        assert "its last run" in trace_markdown(trace)

    def test_tells_from_which_call_on_it_overflowed(self) -> None:
        assert "From call 3 on predictions were not finite" in trace_markdown(overflowing())

    def test_no_clock_is_no_number(self) -> None:
        trace = trace_of(calls=2)
        nan = float("nan")
        trace.records[:] = [dataclasses.replace(r, seconds=nan, model_seconds=(nan, nan)) for r in trace.records]
        assert "| base | 4 | 2 | - |" in trace_markdown(trace) and "nan" not in trace_markdown(trace)

    def test_tells_formula_cost_and_terms(self) -> None:
        text = trace_markdown(trace_of(calls=4))
        assert "`D = base(null) + 2.5 * (concept(null) - base(null)) + 2.5 * (control(null) - base(null))`" in text
        assert "4 calls, 10 evaluations (2.5 per call), 2 s" in text
        assert "| base | 8 | 2 | 1 s |" in text
        assert "| concept | 4 of 4 calls | 2.5 |" in text

    @pytest.mark.parametrize("trace", [trace_of(), awkward(), trace_of(terms=()), trace_of(calls=0)])
    def test_every_table_has_one_width(self, trace: Trace) -> None:
        for block in trace_markdown(trace).split("\n\n"):
            if block.startswith("|"):
                assert len({line.replace("\\|", "").count("|") for line in block.splitlines()}) == 1

    def test_says_what_has_no_numbers(self) -> None:
        text = trace_markdown(awkward())
        assert "| same | no call | - | - | - | - |" in text
        assert "| = 1 \\| 2 | 4 of 4 calls, none measured | 1 | - | - | - |" in text
