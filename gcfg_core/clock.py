"""Moments on a device's own clock, taken without waiting for it."""

from __future__ import annotations

import time

import torch

Moment = float | torch.cuda.Event
Span = tuple[Moment, Moment]


def moment(device: torch.device) -> Moment:
    """Now: on a CUDA or ROCm GPU when the work that is queued so far is done, elsewhere by this process's clock."""
    if device.type != "cuda":
        return time.perf_counter()
    event = torch.cuda.Event(enable_timing=True)
    event.record(torch.cuda.current_stream(device))
    return event


def seconds_of(span: Span) -> float:
    """Seconds from one moment to another of the same device; waits until the later one has come."""
    start, end = span
    if isinstance(start, torch.cuda.Event) and isinstance(end, torch.cuda.Event):
        end.synchronize()
        return start.elapsed_time(end) / 1000.0
    assert not isinstance(start, torch.cuda.Event) and not isinstance(end, torch.cuda.Event)
    return end - start
