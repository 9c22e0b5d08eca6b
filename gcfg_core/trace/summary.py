"""Means over a run: each term's weight, size, push and directions, and each model's evaluations and time."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from .alignment import Samples
from .trace import Trace


@dataclass(frozen=True)
class TermSummary:
    """One term over a run. Means are over the batch and the calls in which the term was measured.

    Non-finite values are left out of the means; nan if no value is left.

    Attributes:
        acted: number of calls in which its weight was not 0.
        measured: number of those in which both its sides were evaluated.
        weight: mean over the calls in which it acted.
        size: of its difference.
        push: of what it adds.
        cosine: of what it adds with the total.
        between: mean cosine with every term.
    """

    name: str
    acted: int
    measured: int
    weight: float
    size: float
    push: float
    cosine: float
    between: tuple[float, ...]


@dataclass(frozen=True)
class ModelSummary:
    """The evaluations and seconds of one model in a run."""

    name: str
    evaluations: int
    seconds: float


def mean(values: Iterable[float]) -> float:
    """Return the mean of the finite values, nan if there are none."""
    known = [value for value in values if math.isfinite(value)]
    return math.fsum(known) / len(known) if known else math.nan


def mean_of(calls: Iterable[Samples | None]) -> float:
    """Return the mean over all measured calls and their samples."""
    return mean(value for samples in calls if samples is not None for value in samples)


def first_overflow(trace: Trace) -> int | None:
    """Return the first call, from 1, in which a term's size or push was not finite, or None."""
    for call, record in enumerate(trace.records, 1):
        measured = [samples for samples in (*record.sizes, *record.pushes) if samples is not None]
        if not all(math.isfinite(value) for samples in measured for value in samples):
            return call
    return None


def summarize_terms(trace: Trace) -> tuple[TermSummary, ...]:
    records = trace.records
    return tuple(
        TermSummary(
            name=name,
            acted=sum(record.weights[i] != 0.0 for record in records),
            measured=sum(record.sizes[i] is not None for record in records),
            weight=mean(record.weights[i] for record in records if record.weights[i] != 0.0),
            size=mean_of(record.sizes[i] for record in records),
            push=mean_of(record.pushes[i] for record in records),
            cosine=mean_of(record.cosines[i] for record in records),
            between=tuple(mean_of(record.between[i][j] for record in records) for j in range(len(trace.terms))),
        )
        for i, name in enumerate(trace.terms)
    )


def summarize_models(trace: Trace) -> tuple[ModelSummary, ...]:
    return tuple(
        ModelSummary(
            name,
            sum(record.evaluations[i] for record in trace.records),
            math.fsum(record.model_seconds[i] for record in trace.records),
        )
        for i, name in enumerate(trace.models)
    )


def seconds_of_calls(trace: Trace) -> float:
    return math.fsum(record.seconds for record in trace.records)
