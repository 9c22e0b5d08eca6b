"""Hooks on a primary term whose difference is reused see the base prediction plus that difference."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from rigs.counter import count_forwards
from rigs.graphs import points, refreshing, relative_error
from rigs.micro import micro_cond, micro_model
from rigs.probe import denoised, guided

LIMIT = 1e-5
WEIGHT = 3.5
C, D, E, U = (micro_cond(i) for i in (1, 2, 3, 4))
TIMES = (9.0, 3.0, 1.0, 0.4)


"""With a refresh of 2 the difference is computed at the first and third, reused at the second and fourth."""


def shown_pairs(xs: Sequence[Tensor], primary: list = C) -> list[tuple[Tensor, Tensor]]:
    """What hooks must be given: the base prediction of now, and it plus the difference of the last even call."""
    pairs: list[tuple[Tensor, Tensor]] = []
    difference = torch.zeros(1)
    for k, (x, s) in enumerate(zip(xs, TIMES, strict=True)):
        base = denoised(micro_model(0), U, x, s)
        if k % 2 == 0:
            difference = denoised(micro_model(0), primary, x, s) - base
        pairs.append((base + difference, base))
    return pairs


def rescaled_cfg(x: Tensor, cond: Tensor, uncond: Tensor, sigma: float, share: float) -> Tensor:
    """Equations 14 to 16 of arXiv 2305.08891 on v, v = (x / (s^2 + 1) - D) sqrt(s^2 + 1) / s."""
    square = sigma * sigma + 1.0
    v_cond, v_uncond = ((x.double() / square - one.double()) * square**0.5 / sigma for one in (cond, uncond))
    v = v_uncond + WEIGHT * (v_cond - v_uncond)
    ratio = v_cond.flatten(1).std(1) / v.flatten(1).std(1)
    v = share * v * ratio.view(-1, 1, 1, 1) + (1.0 - share) * v
    return x.double() / square - v * sigma / square**0.5


def bent(cond: Tensor, uncond: Tensor) -> tuple[Tensor, Tensor]:
    """What the pre-cfg function below makes of a pair: not linear, and both sides change."""
    return cond + 0.5 * (cond - uncond).abs(), 0.9 * uncond


def bend(args: dict[str, Any]) -> list[Tensor]:
    return list(bent(*args["conds_out"]))


class TestHooksOnAReusedDifference:
    OTHER = 1.7
    """Weight of a term of another model under D, which must be added to what the hooks make of the pair."""

    def guider(self, pack: Any, model: Any, weight: float = WEIGHT) -> Any:
        terms = refreshing(pack, 2, positive=C, weight=weight)
        (terms,) = pack.run("GCFG_GuidanceTerm", terms=terms, model=micro_model(5), positive=D, weight=self.OTHER)
        return pack.run("GCFG_Guider", model=model, conditioning=U, terms=terms)[0]

    def other(self, x: Tensor, sigma: float, base: Tensor) -> Tensor:
        return self.OTHER * (denoised(micro_model(5), D, x, sigma) - base)

    def test_a_cfg_function_is_given_the_base_and_it_plus_the_difference(self, pack: Any) -> None:
        model, xs = pack.run("RescaleCFG", model=micro_model(0), multiplier=0.6)[0], points(TIMES, batch=2)
        ours = guided(self.guider(pack, model), xs, TIMES)
        expected = [
            rescaled_cfg(x, cond, base, s, 0.6) + self.other(x, s, base)
            for x, s, (cond, base) in zip(xs, TIMES, shown_pairs(xs), strict=True)
        ]
        assert relative_error(ours, expected) <= LIMIT
        fresh = [
            rescaled_cfg(x, denoised(micro_model(0), C, x, s), base, s, 0.6) + self.other(x, s, base)
            for x, s, (_, base) in zip(xs, TIMES, shown_pairs(xs), strict=True)
        ]
        assert relative_error(ours[1::2], fresh[1::2]) > 1e-2, "nothing is reused, so this shows nothing"

    def test_a_pre_cfg_function_acts_once_and_not_on_what_is_stored(self, pack: Any) -> None:
        model, xs = micro_model(0), points(TIMES, batch=2)
        model.set_model_sampler_pre_cfg_function(bend)
        expected = []
        for x, s, (cond, base) in zip(xs, TIMES, shown_pairs(xs), strict=True):
            one, other = bent(cond, base)
            expected.append(other + WEIGHT * (one - other) + self.other(x, s, base))
        assert relative_error(guided(self.guider(pack, model), xs, TIMES), expected) <= LIMIT

    @pytest.mark.parametrize("together", [("pre", "cfg"), ("cfg", "post"), ("pre", "cfg", "post")], ids="+".join)
    def test_all_kinds_together(self, pack: Any, together: tuple[str, ...]) -> None:
        model, xs = micro_model(0), points(TIMES)
        if "pre" in together:
            model.set_model_sampler_pre_cfg_function(bend)
        if "cfg" in together:
            (model,) = pack.run("RescaleCFG", model=model, multiplier=0.6)
        if "post" in together:
            model.set_model_sampler_post_cfg_function(
                lambda args: args["denoised"] + 0.3 * args["cond_denoised"] - 0.2 * args["uncond_denoised"]
            )
        expected = []
        for x, s, (cond, base) in zip(xs, TIMES, shown_pairs(xs), strict=True):
            pair = bent(cond, base) if "pre" in together else (cond, base)
            total = rescaled_cfg(x, *pair, s, 0.6) + self.other(x, s, base)
            expected.append(total + 0.3 * pair[0] - 0.2 * pair[1] if "post" in together else total)
        assert relative_error(guided(self.guider(pack, model), xs, TIMES), expected) <= LIMIT

    @pytest.mark.parametrize("name", ["cfg", "pre", "post"])
    def test_they_cost_no_evaluation_of_what_is_reused(self, pack: Any, name: str) -> None:
        model = micro_model(0)
        if name == "cfg":
            (model,) = pack.run("RescaleCFG", model=model)
        elif name == "pre":
            model.set_model_sampler_pre_cfg_function(bend)
        else:
            model.set_model_sampler_post_cfg_function(lambda args: args["denoised"])
        guider = self.guider(pack, model)
        with count_forwards(model) as n:
            guided(guider, points(TIMES), TIMES)
        assert [record.evaluations for record in guider.trace.records] == [(2, 1), (1, 1)] * 2
        assert n.chunks == 6

    def test_at_weight_1_they_are_given_a_prediction_although_the_base_cancels(self, pack: Any) -> None:
        """b + (c - b) + (e - b): no base is needed for the sum, but without it b + difference is none."""
        shown, model, xs = [], micro_model(0), points(TIMES)
        model.set_model_sampler_post_cfg_function(lambda args: shown.append(args["cond_denoised"]) or args["denoised"])
        terms = refreshing(pack, 2, positive=C, weight=1.0)
        (terms,) = pack.run("GCFG_GuidanceTerm", terms=terms, positive=E, weight=1.0)
        (guider, _) = pack.run("GCFG_Guider", model=model, conditioning=U, terms=terms)
        ours = guided(guider, xs, TIMES)
        pairs = shown_pairs(xs)
        assert relative_error(shown, [cond for cond, _ in pairs]) <= LIMIT
        sums = [
            cond + denoised(micro_model(0), E, x, s) - base for x, s, (cond, base) in zip(xs, TIMES, pairs, strict=True)
        ]
        assert relative_error(ours, sums) <= LIMIT
