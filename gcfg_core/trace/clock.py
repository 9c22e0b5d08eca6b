"""Moments on a device's own clock, recorded without waiting for the device."""

from __future__ import annotations

import math
import time
from typing import Any

import torch

Moment = Any
"""A float, or an event that torch records on the device; the same type for every moment of a device."""
Span = tuple[Moment, Moment]


def moment(device: torch.device) -> Moment:
    """Return the current moment: on a GPU when all work queued so far is done, on the CPU by this process's clock.

    nan on a device whose events torch cannot time: this process's clock would measure only the queueing.
    """
    if device.type == "cpu":
        return time.perf_counter()
    try:
        return _event(device)
    except (AttributeError, RuntimeError, TypeError):
        return math.nan


def _event(device: torch.device) -> Any:
    """Return an event that the device (CUDA, ROCm, XPU or MPS) records after the work queued on it.

    Raises:
        AttributeError, RuntimeError, TypeError: this version of torch has no events for the device.
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
    """Return the seconds between two moments of a device, nan if they cannot be measured; waits until the later
    moment."""
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
