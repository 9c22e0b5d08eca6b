"""Wrappers and callbacks on the base model, and on a term's model, run there and only there."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import comfy.patcher_extension
import comfy.samplers
import pytest
import torch
from torch import Tensor

from rigs.graphs import SIGMAS, cfg, gcfg, points, relative_error
from rigs.micro import micro_cond, micro_model
from rigs.probe import denoised, guided, sampled

LIMIT = 1e-5
Kinds = comfy.patcher_extension.WrappersMP
C, D, U = micro_cond(1), micro_cond(2), micro_cond(3)


def scaling(model: Any, kind: str, factor: float, calls: list[str]) -> Any:
    """A clone whose wrapper of this kind multiplies what it wraps."""
    clone = model.clone()

    def wrapper(executor: Callable, *args: Any, **kwargs: Any) -> Any:
        calls.append(kind)
        out = executor(*args, **kwargs)
        return [factor * one for one in out] if isinstance(out, list) else factor * out

    clone.add_wrapper_with_key(kind, "test", wrapper)
    return clone


@pytest.mark.parametrize("where", ["base", "term", "variant"])
@pytest.mark.parametrize("kind", [Kinds.APPLY_MODEL, Kinds.DIFFUSION_MODEL, Kinds.CALC_COND_BATCH])
def test_wrappers_of_forwards_act_there_and_only_there(pack: Any, kind: str, where: str) -> None:
    calls: list[str] = []
    made = {"base": micro_model(0), "other": micro_model(5)}
    if where == "base":
        made["base"] = scaling(made["base"], kind, 0.7, calls)
    else:
        made["other"] = scaling(made["base" if where == "variant" else "other"], kind, 0.7, calls)
    terms = [{"positive": C, "weight": 3.0}, {"model": made["other"], "positive": D, "weight": 2.0}]
    ours = guided(gcfg(pack, made["base"], U, *terms), points(), SIGMAS)
    assert len(calls) == len(SIGMAS)

    def ask(name: str, cond: list, x: Tensor, sigma: float) -> Tensor:
        seed = 0 if name == "base" or where == "variant" else 5
        is_scaled = name == ("base" if where == "base" else "other")
        if kind == Kinds.DIFFUSION_MODEL and is_scaled:
            plain = denoised(micro_model(seed), cond, x, sigma)
            return x + 0.7 * (plain - x)  # an eps network: denoised = x - sigma * output
        return (0.7 if is_scaled else 1.0) * denoised(micro_model(seed), cond, x, sigma)

    expected = []
    for x, s in zip(points(), SIGMAS, strict=True):
        zero = ask("base", U, x, s)
        expected.append(zero + 3.0 * (ask("base", C, x, s) - zero) + 2.0 * (ask("other", D, x, s) - zero))
    assert relative_error(ours, expected) <= LIMIT


RUNS = [Kinds.PREDICT_NOISE, Kinds.SAMPLER_SAMPLE, Kinds.PREPARE_SAMPLING]


@pytest.mark.parametrize("kind", [*RUNS, Kinds.OUTER_SAMPLE])
def test_wrappers_of_runs_work_on_the_base(pack: Any, kind: str) -> None:
    calls: list[str] = []
    model = micro_model(0).clone()

    def wrapper(executor: Callable, *args: Any, **kwargs: Any) -> Any:
        calls.append(kind)
        return executor(*args, **kwargs)

    model.add_wrapper_with_key(kind, "test", wrapper)
    terms = [{"positive": C, "weight": 3.0}, {"model": micro_model(5), "positive": D, "weight": 2.0}]
    ours = guided(gcfg(pack, model, U, *terms), points(), SIGMAS)
    assert len(calls) == (len(SIGMAS) if kind == Kinds.PREDICT_NOISE else 1)
    assert all(map(torch.equal, ours, guided(gcfg(pack, micro_model(0), U, *terms), points(), SIGMAS)))


def test_predict_noise_wrapper_on_the_base_changes_the_total(pack: Any) -> None:
    calls: list[str] = []
    terms = [{"positive": C, "weight": 3.0}, {"model": micro_model(5), "positive": D, "weight": 2.0}]
    plain = guided(gcfg(pack, micro_model(0), U, *terms), points(), SIGMAS)
    model = scaling(micro_model(0), Kinds.PREDICT_NOISE, 0.5, calls)
    assert all(map(torch.equal, guided(gcfg(pack, model, U, *terms), points(), SIGMAS), [0.5 * one for one in plain]))


@pytest.mark.parametrize("kind", RUNS)
def test_wrappers_of_runs_on_a_terms_model_are_named_in_the_log(
    pack: Any, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """H11: memory alone is lost without prepare_sampling, predictions without the others."""
    calls: list[str] = []
    with caplog.at_level(logging.INFO):
        guider = gcfg(pack, micro_model(0), U, {"model": scaling(micro_model(5), kind, 0.5, calls), "positive": D})
    (said,) = [record.getMessage() for record in caplog.records if f"{kind} wrappers" in record.getMessage()]
    assert ("not applied" in said) == (kind != Kinds.PREPARE_SAMPLING)
    assert ("memory is reserved" in said) == (kind == Kinds.PREPARE_SAMPLING)
    guided(guider, points(), SIGMAS)
    assert not calls


def test_outer_sample_wrapper_of_a_terms_model_finds_its_own_options(pack: Any) -> None:
    seen: list[Any] = []
    other = micro_model(5).clone()
    other.model_options["transformer_options"]["mark"] = "other"

    def wrapper(executor: Callable, *args: Any, **kwargs: Any) -> Tensor:
        guider = executor.class_obj
        seen.append((guider.model_options["transformer_options"]["mark"], guider.model_patcher.model, len(args[3])))
        return executor(*args, **kwargs)

    other.add_wrapper_with_key(Kinds.OUTER_SAMPLE, "test", wrapper)
    guided(gcfg(pack, micro_model(0), U, {"model": other, "positive": D}), points(), SIGMAS)
    assert seen == [("other", other.model, len(SIGMAS) + 1)]


def easy_cache(pack: Any, model: Any) -> Any:
    inputs = {"reuse_threshold": 3.0, "start_percent": 0.1, "end_percent": 0.95}
    return pack.run("EasyCache", model=model, **inputs)[0]


@contextmanager
def rows(*models: Any) -> Iterator[list[int]]:
    """Rows that each network really computes; wrappers may skip a forward after the network is entered."""
    counts = [0] * len(models)

    def count(index: int) -> Callable:
        return lambda module, args: counts.__setitem__(index, counts[index] + args[0].shape[0])

    handles = [m.model.diffusion_model.time_embed.register_forward_pre_hook(count(i)) for i, m in enumerate(models)]
    try:
        yield counts
    finally:
        for handle in handles:
            handle.remove()


def run(guider: comfy.samplers.CFGGuider) -> Tensor:
    return sampled(guider, torch.zeros(1, 4, 8, 8), steps=12, seed=3)


def test_easy_cache_on_the_base_equals_cfg_guider(pack: Any) -> None:
    model = easy_cache(pack, micro_model(0))
    with rows(model) as core_count:
        core = run(cfg(model, C, U, 3.0))
    with rows(model) as count:
        ours = run(gcfg(pack, model, U, {"positive": C, "weight": 3.0}))
    assert torch.equal(ours, core)
    assert count == core_count < [24], "EasyCache skipped nothing"


@pytest.mark.parametrize("where", ["other", "variant"])
def test_easy_cache_on_a_terms_model_skips_there_alone(pack: Any, where: str, caplog: pytest.LogCaptureFixture) -> None:
    base, foreign = micro_model(0), micro_model(5)
    other = easy_cache(pack, base if where == "variant" else foreign)
    terms = [{"positive": C, "weight": 3.0}, {"model": other, "positive": D, "weight": 1.0}]
    with rows(base, foreign) as count, caplog.at_level(logging.WARNING):
        cached = run(gcfg(pack, base, U, *terms))
    assert "not applied" not in caplog.text
    if where == "other":
        assert count[0] == 24 and 3 <= count[1] < 12
    else:
        assert 24 + 3 <= count[0] < 36
    with rows(base, foreign) as again_count:
        again = run(gcfg(pack, base, U, *terms))
    assert torch.equal(cached, again), "state was left from the first run"
    assert again_count == count
    bare = {"model": base.clone() if where == "variant" else foreign, "positive": D, "weight": 1.0}
    assert not torch.equal(cached, run(gcfg(pack, base, U, terms[0], bare)))


@pytest.mark.parametrize("where", ["other", "variant"])
def test_context_windows_work_on_a_terms_model(pack: Any, where: str, caplog: pytest.LogCaptureFixture) -> None:
    """H11: and nothing says that they do not."""

    def windowed(model: Any) -> Any:
        inputs = {"context_length": 8, "context_overlap": 4, "dim": 2, "context_schedule": "standard_static"}
        return pack.run("ContextWindowsManual", model=model, **inputs)[0]

    xs, seed = points(size=16), 0 if where == "variant" else 5
    base = micro_model(0)
    other = base if where == "variant" else micro_model(seed)
    term = {"positive": D, "weight": 1.0}
    with caplog.at_level(logging.INFO):
        ours = guided(gcfg(pack, base, U, {"model": windowed(other), **term}), xs, SIGMAS)
    assert "not applied" not in caplog.text and "memory is reserved without" in caplog.text
    expected = guided(cfg(windowed(micro_model(seed)), D, U, 1.0), xs, SIGMAS)
    assert relative_error(ours, expected) <= 1e-6  # one term of weight 1: its own prediction
    assert relative_error(guided(gcfg(pack, base, U, {"model": other, **term}), xs, SIGMAS), expected) > 1e-3


def test_callbacks_of_a_terms_model_run(pack: Any) -> None:
    kinds = comfy.patcher_extension.CallbacksMP
    names = [kinds.ON_PRE_RUN, kinds.ON_PREPARE_STATE, kinds.ON_CLEANUP]
    seen: list[str] = []
    other = micro_model(5)
    for name in names:
        other.add_callback(name, lambda *_, name=name: seen.append(name))
    guided(gcfg(pack, micro_model(0), U, {"model": other, "positive": D}), points(), SIGMAS)
    assert seen == [names[0], *[names[1]] * len(SIGMAS), names[2]]


@pytest.mark.parametrize("where", ["other", "variant"])
def test_callbacks_of_loading_are_called_or_named(pack: Any, where: str, caplog: pytest.LogCaptureFixture) -> None:
    """A clone whose module another clone is loaded for is never loaded itself."""
    called: list[Any] = []
    base = micro_model(0)
    other = (base if where == "variant" else micro_model(5)).clone()
    other.add_callback(comfy.patcher_extension.CallbacksMP.ON_LOAD, lambda *_: called.append(1))
    with caplog.at_level(logging.WARNING):
        guided(gcfg(pack, base, U, {"model": other, "positive": D}), points(), SIGMAS)
    assert bool(called) == (where == "other") == ("not called on model2" not in caplog.text)


@pytest.mark.parametrize("on", ["base", "variant", "both"])
def test_injections_of_clones_do_not_meet(pack: Any, on: str) -> None:
    """An injection scales one layer's output while its clone is evaluated; injections must come in pairs."""
    model, depth = micro_model(0), {"base": 0, "variant": 0}
    layer = model.model.diffusion_model.out[-1]

    def injected(name: str, factor: float) -> Any:
        clone = model.clone()

        def inject(patcher: Any) -> None:
            depth[name] += 1
            layer.forward = lambda x: factor * type(layer).forward(layer, x)

        def eject(patcher: Any) -> None:
            depth[name] -= 1
            del layer.forward

        clone.set_injections(name, [comfy.patcher_extension.PatcherInjection(inject, eject)])
        return clone

    base = injected("base", 0.5) if on in ("base", "both") else model
    other = injected("variant", 2.0) if on in ("variant", "both") else model.clone()
    other.model_options["transformer_options"]["mark"] = "not the base's clone"
    ours = guided(gcfg(pack, base, U, {"model": other, "positive": D, "weight": 2.0}), points(), SIGMAS)
    factors = 0.5 if on in ("base", "both") else 1.0, 2.0 if on in ("variant", "both") else 1.0
    expected = []
    for x, s in zip(points(), SIGMAS, strict=True):
        zero = x + factors[0] * (denoised(micro_model(0), U, x, s) - x)
        expected.append(zero + 2.0 * (x + factors[1] * (denoised(micro_model(0), D, x, s) - x) - zero))
    assert relative_error(ours, expected) <= LIMIT
    comfy.model_management.unload_all_models()
    assert depth == {"base": 0, "variant": 0}
    assert "forward" not in layer.__dict__
