"""A trace as data for other programs: CSV with one row per call and sample, JSON with one object per call."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
from collections.abc import Sequence
from typing import Any

from .trace import CallRecord, Trace


def trace_json(trace: Trace) -> str:
    """Write the whole trace except pictures as JSON; non-finite numbers become null."""
    calls = [_plain(dataclasses.asdict(record)) for record in trace.records]
    names = {"formula": trace.formula, "terms": trace.terms, "models": trace.models}
    content = {**names, "run": trace.runs, "calls": calls}
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def trace_csv(trace: Trace) -> str:
    """Write one row for every call and sample of the batch, with numbers in full precision.

    A value that was not computed is empty, an undefined cosine 'nan'. Evaluations and seconds are those of the call, so
    that a sum over their column counts each call once per sample.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(csv_columns(trace))
    for call, record in enumerate(trace.records, 1):
        for sample in range(batch_size(record)):
            writer.writerow([call, sample + 1, *map(_cell, _numbers(record, sample))])
    return out.getvalue()


def csv_columns(trace: Trace) -> list[str]:
    terms, models = distinct(trace.terms), distinct(trace.models)
    columns = ["call", "sample", "progress", "sigma", "seconds", "total push"]
    for kind in ("evaluations", "seconds"):
        columns += [f"{kind}: {name}" for name in models]
    for kind in ("weight", "size", "push", "cosine with total"):
        columns += [f"{kind}: {name}" for name in terms]
    return columns + [f"cosine: {terms[i]} / {terms[j]}" for i, j in pairs(len(terms))]


def pairs(count: int) -> list[tuple[int, int]]:
    """Return every pair of ``count`` indices once."""
    return [(i, j) for i in range(count) for j in range(i + 1, count)]


def batch_size(record: CallRecord) -> int:
    """Return the number of samples that were measured, or 1 if none was."""
    return next((len(size) for size in record.sizes if size is not None), 1)


def distinct(names: Sequence[str]) -> list[str]:
    """Return the names, with repeated ones numbered."""
    unique: list[str] = []
    for name in names:
        count = 1
        fresh = name
        while fresh in unique:
            count += 1
            fresh = f"{name} ({count})"
        unique.append(fresh)
    return unique


def _numbers(record: CallRecord, sample: int) -> list[float | None]:
    """Return the row of ``csv_columns``, without call and sample."""

    def of(columns: Sequence[Sequence[float] | None]) -> list[float | None]:
        return [None if samples is None else samples[sample] for samples in columns]

    between = [record.between[i][j] for i, j in pairs(len(record.weights))]
    numbers: list[float | None] = [record.progress, record.sigma, record.seconds, *of([record.total])]
    numbers += [*record.evaluations, *record.model_seconds, *record.weights]
    return numbers + of(record.sizes) + of(record.pushes) + of(record.cosines) + of(between)


def _cell(value: float | None) -> str:
    return "" if value is None else repr(value)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
