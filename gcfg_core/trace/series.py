"""A trace as lines to draw: one value per call, with its spread over the batch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from .alignment import Samples
from .summary import mean
from .trace import CallRecord, Trace

Read = Callable[[CallRecord, int], Samples | None]


@dataclass(frozen=True)
class Series:
    """Mean, smallest and largest value over the batch at every call, in the order of ``positions``.

    Non-finite values are left out; nan if no value is left.
    """

    means: list[float]
    lows: list[float]
    highs: list[float]

    @property
    def is_empty(self) -> bool:
        return all(map(math.isnan, self.means))

    @property
    def last(self) -> int | None:
        """Index of the last call with a value."""
        return next((k for k in reversed(range(len(self.means))) if not math.isnan(self.means[k])), None)

    @property
    def range(self) -> tuple[float, float] | None:
        known = [value for value in (*self.lows, *self.highs) if not math.isnan(value)]
        return (min(known), max(known)) if known else None


def in_order(trace: Trace) -> list[CallRecord]:
    """Return the calls sorted by progress, because samplers of several stages go back and forth within a step."""
    places = _progress(trace.records)
    return [trace.records[k] for k in sorted(range(len(places)), key=lambda k: places[k])]


def positions(trace: Trace) -> list[float]:
    """Return the progress of the calls of ``in_order``; evenly spaced if it is unknown."""
    return sorted(_progress(trace.records))


def _progress(records: list[CallRecord]) -> list[float]:
    if not all(math.isfinite(record.progress) for record in records):
        return [k / max(len(records) - 1, 1) for k in range(len(records))]
    return [record.progress for record in records]


def series(trace: Trace, i: int, read: Read) -> Series:
    """Return ``read`` of term i in every call."""
    return _series(read(record, i) for record in in_order(trace))


def _series(calls: Iterable[Samples | None]) -> Series:
    known = [[value for value in samples or () if math.isfinite(value)] for samples in calls]
    return Series(
        [mean(values) for values in known],
        [min(values, default=math.nan) for values in known],
        [max(values, default=math.nan) for values in known],
    )


def push(record: CallRecord, i: int) -> Samples | None:
    """Return the size of what term i adds, with the sign of its weight."""
    pushes = record.pushes[i]
    return pushes if pushes is None or record.weights[i] > 0.0 else tuple(-value for value in pushes)


def weight(record: CallRecord, i: int) -> Samples | None:
    return (record.weights[i],) if record.weights[i] != 0.0 else None


def size(record: CallRecord, i: int) -> Samples | None:
    return record.sizes[i]


def cosine(record: CallRecord, i: int) -> Samples | None:
    return record.cosines[i]


def total(record: CallRecord, _: int) -> Samples | None:
    return record.total
