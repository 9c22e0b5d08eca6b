"""Functions of other packs in the place of ComfyUI's sampling function are given the primary pair, as under CFGGuider:
those of P1, P2 and P7."""

import logging
from typing import Any

import comfy.patcher_extension
import comfy.samplers
import pytest
import torch
from torch import Tensor

from rigs.graphs import SIGMAS, cfg, gcfg, points, relative_error
from rigs.lora import with_lora
from rigs.micro import micro_cond, micro_latent, micro_model
from rigs.probe import denoised, guided, sampled
from rigs.replaced import AND, CORE, KINDS, C, D, composing, installing

LIMIT = 1e-5
WEIGHT = 3.5
E, U = micro_cond(3), micro_cond(4)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, list]:
    """A model of this kind and its condition, its function in place."""
    function, patched, cond = KINDS[request.param]
    if function is not None:
        monkeypatch.setattr(comfy.samplers, "sampling_function", function)
    return patched(micro_model(0)), cond


class TestOneTerm:
    @pytest.mark.parametrize("weight", [WEIGHT, 1.0, 0.0, -0.5])
    def test_equals_cfg_guider_to_the_bit(self, pack: Any, kind: tuple[Any, list], weight: float) -> None:
        model, cond = kind
        ours = guided(gcfg(pack, model, U, {"positive": cond, "weight": weight}), points(batch=2), SIGMAS)
        core = guided(cfg(model, cond, U, weight), points(batch=2), SIGMAS)
        assert all(map(torch.equal, ours, core))
        plain = guided(cfg(micro_model(0), C, U, weight), points(batch=2), SIGMAS)
        if weight == WEIGHT:
            assert relative_error(core, plain) > 1e-2, "the function does nothing, so this shows nothing"

    def test_no_term_equals_cfg_guider_at_weight_1(self, pack: Any, kind: tuple[Any, list]) -> None:
        model, _ = kind
        ours, core = (guided(one, points(), SIGMAS) for one in (gcfg(pack, model, C), cfg(model, C, C, 1.0)))
        assert all(map(torch.equal, ours, core))

    @pytest.mark.parametrize("name", ["cfg_function", "CFGGuider.predict_noise"])
    def test_other_functions_of_the_guider_too(self, pack: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        if name == "cfg_function":
            owner: Any = comfy.samplers
            monkeypatch.setattr(
                owner, name, lambda _, positive, negative, scale, *__, **___: negative + scale * positive
            )
        else:
            owner = comfy.samplers.CFGGuider
            own = owner.predict_noise
            doubled = lambda self, *args, **kwargs: 2.0 * own(self, *args, **kwargs)  # noqa: E731
            monkeypatch.setattr(owner, "predict_noise", doubled)
        model = micro_model(0)
        ours = guided(gcfg(pack, model, U, {"positive": C, "weight": WEIGHT}), points(), SIGMAS)
        core = guided(cfg(model, C, U, WEIGHT), points(), SIGMAS)
        assert all(map(torch.equal, ours, core))
        monkeypatch.undo()
        assert relative_error(core, guided(cfg(model, C, U, WEIGHT), points(), SIGMAS)) > 1e-2


class TestSeveralTerms:
    def test_the_others_are_added(self, pack: Any, kind: tuple[Any, list]) -> None:
        """The pair as under CFGGuider + 0.7 (other(E) - base) - 0.5 (base(D) - base), before post-cfg functions."""
        model, cond = kind
        terms: list[dict[str, Any]] = [
            {"model": micro_model(5), "positive": E, "weight": 0.7},
            {"positive": cond, "weight": WEIGHT},
            {"positive": D, "weight": -0.5},
        ]
        ours = guided(gcfg(pack, model, U, *terms), points(), SIGMAS)
        pair = guided(cfg(model, cond, U, WEIGHT), points(), SIGMAS)
        half = 0.5 if model.model_options.get("model_function_wrapper") else 1.0
        scale = 0.9 if model.model_options.get("sampler_post_cfg_function") else 1.0
        expected = []
        for one, x, s in zip(pair, points(), SIGMAS, strict=True):
            # the wrapper halves what apply_model returns, which is denoised
            base, d = (half * denoised(micro_model(0), own, x, s) for own in (U, D))
            other = denoised(micro_model(5), E, x, s)
            expected.append(one + scale * (0.7 * (other - base) - 0.5 * (d - base)))
        assert relative_error(ours, expected) <= LIMIT

    def test_a_mask_is_filled_with_the_base(self, pack: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(comfy.samplers, "sampling_function", composing)
        mask = torch.zeros(1, 8, 8)
        mask[..., :4] = 1.0
        ours = guided(
            gcfg(pack, micro_model(0), U, {"positive": AND, "weight": WEIGHT, "mask": mask}), points(), SIGMAS
        )
        pair = guided(cfg(micro_model(0), AND, U, WEIGHT), points(), SIGMAS)
        base = [denoised(micro_model(0), U, x, s) for x, s in zip(points(), SIGMAS, strict=True)]
        assert relative_error(ours, [b + mask * (p - b) for p, b in zip(pair, base, strict=True)]) <= LIMIT

    def test_a_refreshed_difference_is_the_functions(self, pack: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """Two calls at one point: the second adds what the function made of the pair in the first."""
        monkeypatch.setattr(comfy.samplers, "sampling_function", composing)
        term = {"positive": AND, "weight": WEIGHT, "modify": {"refresh": 2}}
        xs, sigmas = [points()[1]] * 2, (3.0, 3.0)
        ours = guided(gcfg(pack, micro_model(0), U, term), xs, sigmas)
        core = guided(cfg(micro_model(0), AND, U, WEIGHT), xs, sigmas)
        assert relative_error(ours, core) <= LIMIT

    def test_a_line_names_the_module_before_sampling(
        self, pack: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(comfy.samplers, "sampling_function", composing)
        terms = [{"positive": C, "weight": WEIGHT}, {"positive": AND, "weight": 0.5, "label": "both"}]
        before: list[list[str]] = []

        def noting(ask: Any, _: int) -> Any:
            before.append([record.getMessage() for record in caplog.records])
            return ask

        with caplog.at_level(logging.WARNING):
            guided(gcfg(pack, micro_model(0), U, *terms), points(), SIGMAS, around=noting)
        (line,) = [line for line in before[0] if "sampling_function" in line]
        assert composing.__module__ in line and "without it: both" in line and "weights" in line

    def test_what_is_no_prediction_is_refused_by_name(self, pack: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(comfy.samplers, "sampling_function", lambda *args, **kwargs: (CORE(*args, **kwargs), None))
        terms = [{"positive": C, "weight": WEIGHT}, {"positive": D, "weight": 0.5}]
        with pytest.raises(RuntimeError, match=f"{__name__}.*tuple"):
            guided(gcfg(pack, micro_model(0), U, *terms), points(), SIGMAS)


class TestOnATermsModel:
    """P1: what a term's wrapper puts in place is that model's alone."""

    @pytest.mark.parametrize("same", ["another file", "a clone of the base"])
    def test_predicts_as_under_cfg_guider(self, pack: Any, same: str) -> None:
        """A term of weight 1 puts its model's prediction in the base's place."""
        base = micro_model(0)
        model = installing(micro_model(5) if same == "another file" else with_lora(base, 1))
        ours = guided(gcfg(pack, base, U, {"model": model, "positive": C, "weight": 1.0}), points(), SIGMAS)
        alone = installing(micro_model(5) if same == "another file" else with_lora(micro_model(0), 1))
        expected = guided(cfg(alone, C, C, 1.0), points(), SIGMAS)
        assert relative_error(ours, expected) <= LIMIT
        assert comfy.samplers.sampling_function is CORE

    def test_beside_a_base_of_the_same_kind(self, pack: Any) -> None:
        base, model = installing(micro_model(0)), installing(micro_model(5))
        terms = [{"positive": C, "weight": WEIGHT}, {"model": model, "positive": D, "weight": 0.7}]
        ours = guided(gcfg(pack, base, U, *terms), points(), SIGMAS)
        pair = guided(cfg(base, C, U, WEIGHT), points(), SIGMAS)
        expected = []
        for one, x, s in zip(pair, points(), SIGMAS, strict=True):
            b, d = 0.5 * denoised(micro_model(0), U, x, s), 0.5 * denoised(micro_model(5), D, x, s)
            expected.append(one + 0.7 * (d - b))
        assert relative_error(ours, expected) <= LIMIT

    def test_its_wrapper_is_told_every_step(self, pack: Any) -> None:
        model = installing(micro_model(5))
        sampled(gcfg(pack, micro_model(0), U, {"model": model, "positive": C}), micro_latent(0)["samples"])
        assert model.steps == [0, 1, 2]

    def test_what_it_changes_of_the_run_is_said(self, pack: Any, caplog: pytest.LogCaptureFixture) -> None:
        model = micro_model(5)

        def wrapper(executor: Any, noise: Tensor, *args: Any, **kwargs: Any) -> Tensor:
            return executor(2.0 * noise, *args, **kwargs)

        model.add_wrapper_with_key(comfy.patcher_extension.WrappersMP.OUTER_SAMPLE, "noise", wrapper)
        with caplog.at_level(logging.WARNING):
            sampled(gcfg(pack, micro_model(0), U, {"model": model, "positive": C}), micro_latent(0)["samples"])
        assert any("changes the noise" in record.getMessage() for record in caplog.records)

    def test_a_second_sampling_that_it_asks_for_is_said(self, pack: Any, caplog: pytest.LogCaptureFixture) -> None:
        model = micro_model(5)

        def twice(executor: Any, *args: Any, **kwargs: Any) -> Tensor:
            executor(*args, **kwargs)
            return executor(*args, **kwargs)

        term = {"model": model, "positive": C}
        once = sampled(gcfg(pack, micro_model(0), U, term), micro_latent(0)["samples"])
        model.add_wrapper_with_key(comfy.patcher_extension.WrappersMP.OUTER_SAMPLE, "twice", twice)
        with caplog.at_level(logging.WARNING):
            assert torch.equal(sampled(gcfg(pack, micro_model(0), U, term), micro_latent(0)["samples"]), once)
        assert any("second sampling" in record.getMessage() for record in caplog.records)


def test_nothing_is_left_behind(pack: Any, kind: tuple[Any, list]) -> None:
    model, cond = kind
    standing, options = comfy.samplers.sampling_function, set(model.model_options)
    wrappers: list[dict] = []

    def seen(args: dict[str, Any]) -> Tensor:
        wrappers.append(args["model_options"]["transformer_options"].get("wrappers", {}))
        return args["denoised"]

    model.set_model_sampler_post_cfg_function(seen)
    options |= set(model.model_options)
    terms = [{"positive": cond, "weight": WEIGHT}, {"positive": D, "weight": -0.5}]
    sampled(gcfg(pack, model, U, *terms), micro_latent(0)["samples"])
    assert comfy.samplers.sampling_function is standing and set(model.model_options) == options
    kind = comfy.patcher_extension.WrappersMP.CALC_COND_BATCH
    assert wrappers and not any(one.get(kind, {"none": []}) == {} for one in wrappers), "an empty entry was left"


def test_a_wrapper_that_samples_several_times(pack: Any) -> None:
    """P1: AnimateDiff-Evolved's iterations and image injections sample again and again in one run."""
    model = micro_model(0)

    def twice(executor: Any, noise: Tensor, latent: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return executor(noise, executor(noise, latent, *args, **kwargs), *args, **kwargs)

    model.add_wrapper_with_key(comfy.patcher_extension.WrappersMP.OUTER_SAMPLE, "twice", twice)
    latent = micro_latent(0)["samples"]
    other = {"model": micro_model(5), "positive": E, "weight": 0.7}
    terms = [{"positive": C, "weight": WEIGHT}, {"positive": D, "weight": -0.5}, other]
    ours = sampled(gcfg(pack, model, U, *terms), latent)
    once = gcfg(pack, micro_model(0), U, *terms)
    assert relative_error([ours], [sampled(once, sampled(once, latent))]) <= LIMIT
