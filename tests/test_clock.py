"""The clock of calls and models: a GPU works on after its calls return, so only its own events tell."""

import math
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from gcfg_core.trace.clock import moment, seconds_of
from rigs.graphs import SIGMAS, gcfg, points
from rigs.micro import micro_cond, micro_model
from rigs.probe import guided

C, U = micro_cond(1), micro_cond(3)


def test_seconds_are_those_of_the_calls(pack: Any) -> None:
    guider = gcfg(pack, micro_model(0), U, {"positive": C, "weight": 3.0})
    seconds: list[float] = []

    def timed(ask: Callable, k: int) -> Callable:
        def call(x: Tensor, sigma: Tensor) -> Tensor:
            start = time.perf_counter()
            result = ask(x, sigma)
            seconds.append(time.perf_counter() - start)
            return result

        return call

    guided(guider, points(), SIGMAS, timed)
    for record, whole in zip(guider.trace.records, seconds, strict=True):
        assert 0.0 < record.seconds <= whole


class TestClock:
    class Event:
        now = 0.0

        def __init__(self, enable_timing: bool) -> None:
            assert enable_timing

        def record(self, stream: Any = None) -> None:
            self.at = type(self).now = type(self).now + 250.0

        def synchronize(self) -> None: ...

        def elapsed_time(self, end: Any) -> float:
            return end.at - self.at

    @pytest.mark.parametrize("kind", ["mps", "xpu"])
    def test_is_the_devices(self, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
        event = SimpleNamespace(Event=self.Event)
        backend = SimpleNamespace(event=event, Event=self.Event, current_stream=lambda device: None)
        monkeypatch.setattr(torch, kind, backend)
        device = torch.device(kind)
        assert seconds_of((moment(device), moment(device))) == 0.25

    @pytest.mark.parametrize("kind", ["mps", "xpu", "meta"])
    def test_is_unknown_where_there_are_no_events(self, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
        if kind != "meta":
            monkeypatch.setattr(torch, kind, SimpleNamespace())
        device = torch.device(kind)
        assert math.isnan(seconds_of((moment(device), moment(device))))
