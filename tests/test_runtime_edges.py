"""Paths that few graphs take: batch functions, hooks on a reused difference, rescale of flow, a latent that changes."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import comfy.samplers
import pytest
import torch
from comfy_api.latest import io
from torch import Tensor

from rigs.counter import count_forwards
from rigs.graphs import SIGMAS, cfg, gcfg, points, relative_error
from rigs.micro import micro_cond, micro_latent, micro_model
from rigs.probe import denoised, guided
from rigs.tiny import load_tiny, tiny_cond, tiny_latent

LIMIT = 1e-5
WEIGHT = 3.5
C, D, E, U = (micro_cond(i) for i in (1, 2, 3, 4))


def refreshing(pack: Any, every: int, **term: Any) -> Any:
    """A chain of one term whose difference is reused until its ``every``-th call."""
    (terms,) = pack.run("GCFG_GuidanceTerm", **term)
    return pack.run("GCFG_ModifyTerm", terms=terms, refresh=every)[0]


# A model's own function in the place of calc_cond_batch --------------------------------------------------------------


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


# Hooks on a primary term whose difference is reused ------------------------------------------------------------------

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


# Rescale on flow models ----------------------------------------------------------------------------------------------


class TestRescaleOfFlow:
    """Equations 14 to 16 of arXiv 2305.08891 on what a flow model predicts, the velocity (x - D) / s."""

    SHARE = 0.7
    TIMES = (0.9, 0.5, 0.1)

    @staticmethod
    def flow(pack: Any, seed: int) -> Any:
        return pack.run("ModelSamplingSD3", model=micro_model(seed), shift=3.0)[0]

    @staticmethod
    def rescaled(total: Tensor, positive: Tensor, share: float) -> Tensor:
        """share * total * std(positive) / std(total) + (1 - share) * total, each sample on its own."""
        rows = []
        for one, other in zip(total.double(), positive.double(), strict=True):
            rows.append(share * one * other.std() / one.std() + (1.0 - share) * one)
        return torch.stack(rows)

    @pytest.mark.parametrize("share", [0.7, 1.0])
    def test_one_term_is_the_papers_formula_on_velocities(self, pack: Any, share: float) -> None:
        guider = gcfg(pack, self.flow(pack, 0), U, {"positive": C, "weight": WEIGHT}, rescale=share)
        xs = points((1.0,) * 3, batch=2)
        expected = []
        for x, s in zip(xs, self.TIMES, strict=True):
            positive, base = ((x - denoised(self.flow(pack, 0), cond, x, s)) / s for cond in (C, U))
            expected.append(x - s * self.rescaled(base + WEIGHT * (positive - base), positive, share))
        assert relative_error(guided(guider, xs, self.TIMES), expected) <= LIMIT

    def test_terms_of_other_models_count_and_the_first_positive_sets_the_deviation(self, pack: Any) -> None:
        """A flow and an eps model beside a flow base; the eps model is asked at s / (1 - s) with x / (1 - s)."""
        terms = [
            {"model": micro_model(7), "positive": D, "weight": 1.7},
            {"positive": C, "weight": WEIGHT},
            {"model": self.flow(pack, 5), "positive": E, "weight": -0.5},
        ]
        guider = gcfg(pack, self.flow(pack, 0), U, *terms, rescale=self.SHARE)
        xs, expected = points((1.0,) * 3, batch=2), []
        for x, s in zip(xs, self.TIMES, strict=True):
            first = denoised(micro_model(7), D, x / (1 - s), s / (1 - s))
            positive, base = (denoised(self.flow(pack, 0), cond, x, s) for cond in (C, U))
            third = denoised(self.flow(pack, 5), E, x, s)
            total = base + 1.7 * (first - base) + WEIGHT * (positive - base) - 0.5 * (third - base)
            expected.append(x - s * self.rescaled((x - total) / s, (x - first) / s, self.SHARE))
        assert relative_error(guided(guider, xs, self.TIMES), expected) <= LIMIT

    def test_on_an_eps_base_it_is_the_v_although_a_terms_model_is_flow(self, pack: Any) -> None:
        model = self.flow(pack, 5)
        guider = gcfg(pack, micro_model(0), U, {"model": model, "positive": C, "weight": WEIGHT}, rescale=self.SHARE)
        xs, expected = points(batch=2), []
        for x, s in zip(xs, SIGMAS, strict=True):
            base = denoised(micro_model(0), U, x, s)
            positive = denoised(model, C, x / (1 + s), s / (1 + s))
            q = s * s + 1.0
            total, own = ((x / q - one) * q**0.5 / s for one in (base + WEIGHT * (positive - base), positive))
            expected.append(x / q - self.rescaled(total, own, self.SHARE) * s / q**0.5)
        assert relative_error(guided(guider, xs, SIGMAS), expected) <= LIMIT

    def test_v_in_the_velocitys_place_would_give_another_result(self, pack: Any) -> None:
        """Otherwise the tests above could not tell the two apart."""
        x, s = points((1.0,), batch=2)[0], self.TIMES[1]
        positive, base = (denoised(self.flow(pack, 0), cond, x, s) for cond in (C, U))
        total, q = base + WEIGHT * (positive - base), s * s + 1.0
        flow = x - s * self.rescaled((x - total) / s, (x - positive) / s, self.SHARE)
        v, own = ((x / q - one) * q**0.5 / s for one in (total, positive))
        assert relative_error([x / q - self.rescaled(v, own, self.SHARE) * s / q**0.5], [flow]) > 1e-2


# A latent whose shape changes within a run ---------------------------------------------------------------------------


class TestRefreshAndTheLatentsShape:
    """A stored difference is of one latent: another shape computes it anew, and only that."""

    def run(self, pack: Any, xs: list[Tensor]) -> tuple[list[Tensor], list[float]]:
        """The guided predictions at falling sigmas, and at which of them the term's model was asked."""
        terms = refreshing(pack, 100, model=micro_model(5), positive=C, weight=2.0)
        (guider, _) = pack.run("GCFG_Guider", model=micro_model(0), conditioning=U, terms=terms)
        model = guider.plan.models[1]
        with count_forwards(model) as n:
            results = guided(guider, xs, self.sigmas(xs))
            return results, n.of(model).sigmas

    @staticmethod
    def sigmas(xs: list[Tensor]) -> list[float]:
        return [8.0 / (k + 1) for k in range(len(xs))]

    @pytest.mark.parametrize(
        "change",
        [lambda x: x.repeat(2, 1, 1, 1), lambda x: x.repeat(1, 1, 2, 2), lambda x: x[..., :4]],
        ids=["a batch of two", "twice the sides", "half the width"],
    )
    def test_a_change_drops_it(self, pack: Any, change: Callable[[Tensor], Tensor]) -> None:
        """Calls 0 and 1 share a shape, 2 and 3 another, 4 has the first again: computed at 0, 2 and 4."""
        xs = points((9.0, 4.0, 2.0, 1.0, 0.5))
        xs = [*xs[:2], *map(change, xs[2:4]), xs[4]]
        results, asked = self.run(pack, xs)
        sigmas = self.sigmas(xs)
        assert asked == pytest.approx([sigmas[0], sigmas[2], sigmas[4]])
        difference = torch.zeros(1)
        for k, (x, s) in enumerate(zip(xs, sigmas, strict=True)):
            base = denoised(micro_model(0), U, x, s)
            if k % 2 == 0:
                difference = denoised(micro_model(5), C, x, s) - base
            assert results[k].shape == x.shape
            assert relative_error([results[k]], [base + 2.0 * difference]) <= LIMIT

    def test_the_same_shape_keeps_it(self, pack: Any) -> None:
        _, asked = self.run(pack, points((9.0, 4.0, 2.0)))
        assert asked == [8.0]


# What differs between hosts ------------------------------------------------------------------------------------------


class TestHosts:
    NODES = ("GuidanceTerm", "ModifyTerm", "MergeTerms", "Guider", "Sampler", "LoadConceptModel")

    @staticmethod
    def aliases(node: Any) -> list[str]:
        return list(getattr(node.define_schema(), "search_aliases", None) or [])

    @pytest.mark.parametrize("name", NODES)
    def test_search_aliases_are_given_where_the_host_knows_them(self, pack: Any, name: str) -> None:
        known = "search_aliases" in {field.name for field in dataclasses.fields(io.Schema)}
        assert ("gcfg" in self.aliases(pack.node(f"GCFG_{name}"))) == known

    @pytest.mark.parametrize("name", NODES)
    def test_a_host_that_knows_them_shows_them(self, pack: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """This host's schema with the one field that came later."""

        @dataclasses.dataclass
        class LaterSchema(io.Schema):
            search_aliases: list[str] = dataclasses.field(default_factory=list)

        monkeypatch.setattr(io, "Schema", LaterSchema)
        aliases = self.aliases(pack.node(f"GCFG_{name}"))
        assert aliases[0] == "gcfg" and len(aliases) == len(set(aliases)) > 1

    @staticmethod
    def same_job(pack: Any, model: Any, conds: tuple[list, list], latent: dict[str, Any]) -> tuple[dict, dict]:
        """(ours, KSampler's) LATENT."""
        shared = {"model": model, "latent_image": latent, "seed": 3, "steps": 2, "sampler_name": "euler",
                  "scheduler": "simple", "denoise": 1.0}  # fmt: skip
        (terms,) = pack.run("GCFG_GuidanceTerm", positive=conds[0], weight=WEIGHT)
        ours, _ = pack.run("GCFG_Sampler", conditioning=conds[1], terms=terms, **shared)
        (core,) = pack.run("KSampler", positive=conds[0], negative=conds[1], cfg=WEIGHT, **shared)
        return ours, core

    @pytest.mark.parametrize("empty", [True, False], ids=["empty", "full"])
    @pytest.mark.parametrize(
        ("kind", "hints"),
        [
            ("sd15", {"downscale_ratio_spacial": 16}),
            ("wan", {"downscale_ratio_spacial": 16}),
            ("wan", {"downscale_ratio_temporal": 8}),
            ("wan", {"downscale_ratio_spacial": 16, "downscale_ratio_temporal": 8}),
        ],
    )
    def test_hints_of_empty_latents_act_as_in_ksampler(
        self, pack: Any, kind: str, hints: dict[str, int], empty: bool
    ) -> None:
        """Newer hosts size an empty latent by them; older ones sample it as it is and hand them on."""
        model = micro_model(0) if kind == "sd15" else load_tiny(kind)
        conds = (C, U) if kind == "sd15" else (tiny_cond(kind, 1), tiny_cond(kind, 2))
        samples = (micro_latent(0) if kind == "sd15" else tiny_latent(kind, size=8))["samples"]
        latent = {"samples": torch.zeros_like(samples) if empty else samples, **hints, "foreign": 1}
        ours, core = self.same_job(pack, model, conds, latent)
        assert torch.equal(ours["samples"], core["samples"])
        assert latent.keys() == {"samples", "foreign", *hints}, "the input was written to"
        assert ours["foreign"] == 1
        assert empty or ours["samples"].shape == samples.shape
