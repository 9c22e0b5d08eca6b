"""A model's own function in the place of calc_cond_batch is given a pair, each condition in the place of its role."""

from typing import Any

import comfy.samplers
import pytest
import torch
from torch import Tensor

from rigs.counter import count_forwards
from rigs.graphs import SIGMAS, cfg, gcfg, points, relative_error
from rigs.micro import micro_cond, micro_model
from rigs.probe import denoised, guided

LIMIT = 1e-5
WEIGHT = 3.5
C, D, E, U = (micro_cond(i) for i in (1, 2, 3, 4))


class ByPlace:
    """A sampler_calc_cond_batch_function that knows its two places apart, as those do that treat the unconditional in a
    way of its own: what stands in the first is multiplied by one factor, what stands in the second by another."""

    def __init__(self, first: float, second: float) -> None:
        self.factors = (first, second)
        self.seen: list[dict[str, Any]] = []

    def __call__(self, args: dict[str, Any]) -> list[Tensor]:
        self.seen.append(args)
        conds = args["conds"]
        outputs = comfy.samplers.calc_cond_batch(
            args["model"], conds, args["input"], args["sigma"], args["model_options"]
        )
        return [output * factor for output, factor in zip(outputs, self.factors, strict=True)]


def with_batch_function(model: Any, first: float, second: float) -> tuple[Any, ByPlace]:
    clone, function = model.clone(), ByPlace(first, second)
    clone.set_model_sampler_calc_cond_batch_function(function)
    return clone, function


class TestBatchFunction:
    @pytest.mark.parametrize("weight", [WEIGHT, 1.0, -0.5])
    def test_one_term_equals_cfg_guider_to_the_bit(self, pack: Any, weight: float) -> None:
        model, function = with_batch_function(micro_model(0), 0.5, 0.25)
        ours = guided(gcfg(pack, model, U, {"positive": C, "weight": weight}), points(batch=2), SIGMAS)
        ours_seen, function.seen = function.seen, []
        core = guided(cfg(model, C, U, weight), points(batch=2), SIGMAS)
        assert all(map(torch.equal, ours, core))
        plain = guided(cfg(micro_model(0), C, U, weight), points(batch=2), SIGMAS)
        assert relative_error(core, plain) > 1e-2, "the function does nothing, so this shows nothing"
        for one, other in zip(ours_seen, function.seen, strict=True):
            assert one.keys() == other.keys()
            assert torch.equal(one["sigma"], other["sigma"]) and one["model"] is other["model"] is model.model
            assert [cond is None for cond in one["conds"]] == [cond is None for cond in other["conds"]]

    def test_no_term_is_the_base_in_the_first_place(self, pack: Any) -> None:
        model, _ = with_batch_function(micro_model(0), 0.5, 0.25)
        expected = [0.5 * denoised(micro_model(0), U, x, s) for x, s in zip(points(), SIGMAS, strict=True)]
        assert relative_error(guided(gcfg(pack, model, U), points(), SIGMAS), expected) <= LIMIT

    def test_on_the_base_the_pair_comes_first_and_the_others_singly(self, pack: Any) -> None:
        """D = b + 3.5 (c - b) + 1.7 (d - b) - 0.6 (e - b) + 2 (other - b), b at 1/4, c, d and e at 1/2."""
        model, function = with_batch_function(micro_model(0), 0.5, 0.25)
        terms = [
            {"positive": D, "weight": 1.7, "reference": E},
            {"positive": C, "weight": WEIGHT},
            {"positive": E, "weight": -0.6},
            {"model": micro_model(5), "positive": D, "weight": 2.0},
        ]
        ours = guided(gcfg(pack, model, U, *terms), points(), SIGMAS)
        expected = []
        for x, s in zip(points(), SIGMAS, strict=True):
            b = 0.25 * denoised(micro_model(0), U, x, s)
            c, d, e = (0.5 * denoised(micro_model(0), cond, x, s) for cond in (C, D, E))
            other = denoised(micro_model(5), D, x, s)
            expected.append(b + WEIGHT * (c - b) + 1.7 * (d - e) - 0.6 * (e - b) + 2.0 * (other - b))
        assert relative_error(ours, expected) <= LIMIT
        places = [[cond is None for cond in args["conds"]] for args in function.seen]
        assert places == [[False, False], [False, True], [False, True]] * len(SIGMAS)

    @pytest.mark.parametrize("kind", ["another file", "a clone of the base"])
    def test_on_a_terms_model_it_acts_there_alone(self, pack: Any, kind: str) -> None:
        """Five predictions of that model, whatever their places, each at 1/2."""
        base = micro_model(0)
        seed = 5 if kind == "another file" else 0
        model, function = with_batch_function(micro_model(5) if seed else base, 0.5, 0.5)
        terms: list[dict[str, Any]] = [
            {"positive": C, "weight": WEIGHT},
            {"model": model, "positive": D, "weight": 1.7},
            {"model": model, "positive": E, "reference_model": model, "reference": C, "weight": -0.6},
            {"model": model, "positive": U, "weight": 0.4},
        ]
        with count_forwards(base, model) as n:
            ours = guided(gcfg(pack, base, U, *terms), points(), SIGMAS)
        assert n.chunks == 6 * len(SIGMAS)
        expected = []
        for x, s in zip(points(), SIGMAS, strict=True):
            b, c = (denoised(micro_model(0), cond, x, s) for cond in (U, C))
            own_d, own_e, own_c, own_u = (0.5 * denoised(micro_model(seed), cond, x, s) for cond in (D, E, C, U))
            total = b + WEIGHT * (c - b) + 1.7 * (own_d - b) - 0.6 * (own_e - own_c) + 0.4 * (own_u - b)
            expected.append(total)
        assert relative_error(ours, expected) <= LIMIT
        assert all(args["model"] is model.model and len(args["conds"]) == 2 for args in function.seen)

    def test_a_term_of_another_model_equals_cfg_guider_where_it_is_that_models_pair(self, pack: Any) -> None:
        """b + (other(b) - b) + 3.5 (other(c) - other(b)) is CFG on the other model alone."""
        other, _ = with_batch_function(micro_model(5), 0.5, 0.25)
        pair = {"model": other, "positive": C, "reference_model": other, "reference": U, "weight": WEIGHT}
        ours = guided(gcfg(pack, micro_model(0), E, pair), points(), SIGMAS)
        core = guided(cfg(other, C, U, WEIGHT), points(), SIGMAS)
        expected = []
        for one, x, s in zip(core, points(), SIGMAS, strict=True):
            expected.append(denoised(micro_model(0), E, x, s) + one - 0.25 * denoised(micro_model(5), U, x, s))
        assert relative_error(ours, expected) <= LIMIT

    def test_conditions_stand_in_the_place_of_their_role(self, pack: Any) -> None:
        """Two pairs of a term's model: positives at 1/2, what is only a reference at 1/4, whoever comes first."""
        other, function = with_batch_function(micro_model(5), 0.5, 0.25)
        own = {"model": other, "reference_model": other}
        terms = [
            {**own, "positive": C, "reference": D, "weight": 2.0},
            {**own, "positive": E, "reference": U, "weight": -0.6},
        ]
        ours = guided(gcfg(pack, micro_model(0), U, *terms), points(), SIGMAS)
        expected = []
        for x, s in zip(points(), SIGMAS, strict=True):
            c, d, e, u = (denoised(micro_model(5), cond, x, s) for cond in (C, D, E, U))
            zero = denoised(micro_model(0), U, x, s)
            expected.append(zero + 2.0 * (0.5 * c - 0.25 * d) - 0.6 * (0.5 * e - 0.25 * u))
        assert relative_error(ours, expected) <= LIMIT
        places = [[cond is None for cond in args["conds"]] for args in function.seen]
        assert places == [[False, False], [False, True], [True, False]] * len(SIGMAS)

    @pytest.mark.parametrize("where", ["base", "term"])
    def test_a_positive_never_stands_in_the_place_of_the_unconditional(self, pack: Any, where: str) -> None:
        """A prediction depends on its model and its condition, never on other terms: where no pair is asked, each
        positive is given alone, as core gives it. The weights sum to 1, so that the base prediction is not asked."""
        model, _ = with_batch_function(micro_model(0), 0.5, 0.0)
        base = model if where == "base" else micro_model(5)
        sides: dict[str, Any] = {} if where == "base" else {"model": model}
        terms = [{**sides, "positive": C, "weight": 0.25}, {**sides, "positive": D, "weight": 0.75}]
        expected = [
            0.5 * (0.25 * denoised(micro_model(0), C, x, s) + 0.75 * denoised(micro_model(0), D, x, s))
            for x, s in zip(points(), SIGMAS, strict=True)
        ]
        assert relative_error(guided(gcfg(pack, base, U, *terms), points(), SIGMAS), expected) <= LIMIT
