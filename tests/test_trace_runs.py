"""What a trace holds after a run that ended early, and after the next one."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import comfy.model_management
import pytest

from rigs.graphs import SIGMAS, gcfg, points
from rigs.micro import micro_cond, micro_model
from rigs.probe import guided

C, D, U = micro_cond(1), micro_cond(2), micro_cond(3)


@contextlib.contextmanager
def failing(model: Any, forward: int, error: Exception) -> Iterator[None]:
    """The network raises ``error`` in this forward, counted from 0."""
    seen: list[int] = []

    def fail(*_: Any) -> None:
        seen.append(len(seen))
        if seen[-1] == forward:
            raise error

    handle = model.model.diffusion_model.register_forward_pre_hook(fail)
    try:
        yield
    finally:
        handle.remove()


@pytest.mark.parametrize("error", [RuntimeError("broken"), comfy.model_management.InterruptProcessingException()])
def test_an_error_keeps_the_calls_that_ended(pack: Any, error: Exception) -> None:
    base, other = micro_model(0), micro_model(5)
    terms = [{"positive": C, "weight": 3.0}, {"model": other, "positive": D, "weight": 2.0}]
    whole = gcfg(pack, base, U, *terms)
    guided(whole, points(), SIGMAS)
    guider = gcfg(pack, base, U, *terms)
    with failing(other, 2, error), pytest.raises(type(error)):
        guided(guider, points(), SIGMAS)
    kept, expected = guider.trace.records, whole.trace.records[:2]
    assert [record.sigma for record in kept] == pytest.approx(SIGMAS[:2])
    for name in ("weights", "sizes", "evaluations"):
        assert [getattr(record, name) for record in kept] == [getattr(record, name) for record in expected]


def test_an_error_between_calls_keeps_them(pack: Any) -> None:
    guider = gcfg(pack, micro_model(0), U, {"positive": C, "weight": 3.0})

    def stop(ask: Callable, k: int) -> Callable:
        if k == 1:
            raise KeyError("the sampler's own")
        return ask

    with pytest.raises(KeyError):
        guided(guider, points(), SIGMAS, stop)
    (record,) = guider.trace.records
    assert (record.sigma, record.evaluations, len(record.sizes[0])) == (SIGMAS[0], (2,), 1)


def test_a_second_run_begins_anew(pack: Any) -> None:
    guider = gcfg(pack, micro_model(0), U, {"positive": C, "weight": 3.0})
    trace = guider.trace
    guided(guider, points(), SIGMAS)
    guided(guider, points((5.0, 2.0)), (5.0, 2.0))
    assert guider.trace is trace and trace.runs == 2
    assert [record.sigma for record in trace.records] == [5.0, 2.0]
    assert trace.evaluations == 4


def test_an_error_while_models_are_put_back_keeps_the_calls(pack: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("clean-up")

    guider = gcfg(pack, micro_model(0), U, {"positive": C, "weight": 3.0})
    monkeypatch.setattr(pack.module("nodes.sampling.run").comfy.sampler_helpers, "cleanup_models", fail)
    with pytest.raises(RuntimeError, match="clean-up"):
        guided(guider, points(), SIGMAS)
    assert len(guider.trace.records) == 3


def test_so_it_does_after_an_error(pack: Any) -> None:
    base = micro_model(0)
    guider = gcfg(pack, base, U, {"positive": C, "weight": 3.0})
    with failing(base, 1, RuntimeError("broken")), pytest.raises(RuntimeError, match="broken"):
        guided(guider, points(), SIGMAS)
    assert len(guider.trace.records) == 1
    guided(guider, points(), SIGMAS)
    assert [record.sigma for record in guider.trace.records] == pytest.approx(SIGMAS)
