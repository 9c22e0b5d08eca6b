"""Moments on a device's own clock, taken without waiting for it."""

from __future__ import annotations

import math
import time
from typing import Any

import torch

Moment = Any
"""A float, or an event of the device's that torch records; one device gives always the same kind."""
Span = tuple[Moment, Moment]


def moment(device: torch.device) -> Moment:
    """Now: on a GPU when the work that is queued so far is done, on the CPU by this process's clock.

    nan on a device whose events torch does not time: this process's clock would tell how long queueing took.
    """
    if device.type == "cpu":
        return time.perf_counter()
    try:
        return _event(device)
    except (AttributeError, RuntimeError, TypeError):
        return math.nan


def _event(device: torch.device) -> Any:
    """An event that the device (CUDA, ROCm, XPU or MPS) records after what is queued on it.

    Raises:
        AttributeError, RuntimeError, TypeError: this torch has none for it.
    """
    if device.type == "mps":
        event: Any = torch.mps.event.Event(enable_timing=True)
        event.record()
        return event
    backend = getattr(torch, device.type)
    event = backend.Event(enable_timing=True)
    event.record(backend.current_stream(device))
    return event


def seconds_of(span: Span) -> float:
    """Seconds from one moment to another of the same device, nan where it cannot tell; waits until the later one has
    come."""
    start, end = span
    if isinstance(start, float) and isinstance(end, float):
        return end - start
    if isinstance(start, float) or isinstance(end, float):
        return math.nan
    try:
        end.synchronize()
        return start.elapsed_time(end) / 1000.0
    except (AttributeError, RuntimeError):
        return math.nan
