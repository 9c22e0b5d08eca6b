"""A term acts only where the conditions of both its sides are in force (S1 in time, S2 in space)."""

import random
from collections.abc import Callable
from typing import Any

import comfy.samplers
import pytest
import torch
from torch import Tensor

from rigs.counter import count_forwards
from rigs.covers import combined, core_cover, left_half, masked, placed, random_limits, ranged, with_default
from rigs.graphs import cfg, gcfg, points, relative_error
from rigs.micro import micro_cond, micro_model
from rigs.probe import denoised, guided, sampled

LIMIT = 1e-5
SIZE = 16
BASE, PROMPT, OTHER, THIRD = (micro_cond(i) for i in range(4))
MODEL, SECOND = micro_model(0), micro_model(1)
SIGMAS = (9.0, 3.0, 1.0, 0.4)
"""The first two lie in the first half of sampling, the others in the second (percent_to_sigma(0.5) is 1.6)."""


def ask(guider: Any, sigmas: tuple = SIGMAS, batch: int = 1) -> list[Tensor]:
    return guided(guider, points(sigmas, batch, SIZE), sigmas)


def counted(guider: Any) -> tuple[list[Tensor], int]:
    with count_forwards(MODEL, SECOND) as counter:
        return ask(guider), counter.chunks


class TestTime:
    """S1."""

    @pytest.mark.parametrize("side", ["positive", "reference"])
    def test_a_ranged_side_is_a_window_of_its_term(self, pack: Any, side: str) -> None:
        sides = {"positive": OTHER, "reference": THIRD}
        primary, term = {"positive": PROMPT, "weight": 3.0}, {"model": SECOND, "weight": 2.0, **sides}
        late = gcfg(pack, MODEL, BASE, primary, {**term, side: ranged(pack, sides[side], 0.5, 1.0)})
        window = gcfg(pack, MODEL, BASE, primary, {**term, "start_percent": 0.5})
        (ours, evaluations), (expected, fewest) = counted(late), counted(window)
        assert relative_error(ours, expected) <= LIMIT
        assert evaluations == fewest
        assert late.trace.evaluations == fewest
        assert [record.weights for record in late.trace.records] == [record.weights for record in window.trace.records]

    def test_cost_does_not_multiply_a_mask_by_a_map_that_is_not_known(self, pack: Any) -> None:
        """A mask may be a video's, or lie on a GPU."""
        area = [[PROMPT[0][0], {**PROMPT[0][1], "area": (4, 4, 0, 0), "strength": 1.0}]]
        mask = torch.ones(3, 8, 8, device="meta")
        guider = gcfg(pack, MODEL, BASE, {"positive": area, "mask": mask})
        coverage = guider.plan.expected_coverage()
        assert coverage.masks[0].shape == (1, 1, 1, 1)
        assert pack.module("gcfg_core.guidance.cost").most_evaluations(guider.plan) == 2

    def test_formula_and_cost_name_the_range(self, pack: Any) -> None:
        names = ("formula", "cost", "sampling_progress")
        formula, price, module = (pack.module(f"gcfg_core.guidance.{name}") for name in names)
        late = ranged(pack, OTHER, 0.5, 1.0)
        guider = gcfg(pack, MODEL, BASE, {"positive": PROMPT}, {"model": SECOND, "positive": late, "end_percent": 0.8})
        assert "2.5{@ 50%-80%} * (model2(c2) - base(null))" in formula.formula(guider.plan)
        assert [phase.evaluations for phase in price.evaluation_phases(guider.plan)] == [2, 3, 2]
        progress = module.SamplingProgress(MODEL.get_model_object("model_sampling").percent_to_sigma)
        ask(guider)
        assert price.cost(guider.plan, SIGMAS, progress).evaluations == guider.trace.evaluations

    def test_one_term_rests_outside_its_range_and_is_cfg_inside(self, pack: Any) -> None:
        late = ranged(pack, PROMPT, 0.5, 1.0)
        ours = ask(gcfg(pack, MODEL, BASE, {"positive": late, "weight": 3.0}))
        core = ask(cfg(MODEL, late, BASE, 3.0))
        base = ask(gcfg(pack, MODEL, BASE))
        assert all(map(torch.equal, ours[2:], core[2:]))
        assert relative_error(ours[:2], base[:2]) <= LIMIT
        assert relative_error(core[:2], base[:2]) > 0.1, "core draws zeros there"

    def test_ranges_that_follow_each_other_leave_nothing_out(self, pack: Any) -> None:
        """Each half of sampling with its own prompt."""
        both = combined(pack, ranged(pack, PROMPT, 0.0, 0.5), ranged(pack, OTHER, 0.5, 1.0))
        guider = gcfg(pack, MODEL, BASE, {"positive": both, "weight": 3.0})
        expected = [*ask(cfg(MODEL, PROMPT, BASE, 3.0))[:2], *ask(cfg(MODEL, OTHER, BASE, 3.0))[2:]]
        assert relative_error(ask(guider), expected) <= LIMIT
        assert "@" not in guider.trace.formula

    def test_a_sampler_of_cfg_pp_gets_no_pair_that_is_not_in_force(self, pack: Any) -> None:
        """They ask for both sides at any weight."""
        early = gcfg(pack, MODEL, BASE, {"positive": ranged(pack, PROMPT, 0.0, 0.5), "weight": 2.0})
        window = gcfg(pack, MODEL, BASE, {"positive": PROMPT, "weight": 2.0, "end_percent": 0.5})
        latent = torch.zeros(1, 4, SIZE, SIZE)
        ours, expected = (sampled(one, latent, steps=6, sampler="euler_cfg_pp") for one in (early, window))
        assert relative_error([ours], [expected]) <= LIMIT

    def test_a_difference_is_not_reused_where_another_condition_is_in_force(self, pack: Any) -> None:
        both = combined(pack, ranged(pack, PROMPT, 0.0, 0.5), ranged(pack, OTHER, 0.5, 1.0))
        term = {"positive": both, "weight": 3.0, "modify": {"refresh": 100}}
        got = ask(gcfg(pack, MODEL, BASE, term))[2]
        assert relative_error([got], [ask(cfg(MODEL, OTHER, BASE, 3.0))[2]]) <= LIMIT

    def test_a_condition_that_is_never_in_force_never_acts(self, pack: Any) -> None:
        silent = masked(pack, OTHER, torch.ones(1, SIZE, SIZE), strength=0.0)
        for condition in (ranged(pack, OTHER, 0.7, 0.2), silent, []):
            guider = gcfg(pack, MODEL, BASE, {"positive": condition, "weight": 5.0})
            got, evaluations = counted(guider)
            assert all(map(torch.equal, got, ask(gcfg(pack, MODEL, BASE))))
            assert evaluations == len(SIGMAS)
            assert "@ never" in guider.trace.formula


class TestSpace:
    """S2."""

    @pytest.mark.parametrize("model", [None, SECOND], ids=["base", "second model"])
    @pytest.mark.parametrize("limited", ["masked", "placed"])
    def test_a_placed_condition_is_a_mask_of_its_term(self, pack: Any, model: Any, limited: str) -> None:
        half = left_half(SIZE)
        if limited == "masked":
            condition, whole = masked(pack, OTHER, half), OTHER
        else:  # core shows the network only that part of the picture
            condition, whole = placed(pack, OTHER, 4 * SIZE, 8 * SIZE), None
        chosen = {} if model is None else {"model": model}
        primary = {"positive": PROMPT, "weight": 2.0}
        guider = gcfg(pack, MODEL, BASE, primary, {"positive": condition, "weight": 2.5, **chosen})
        xs = points(SIGMAS, 1, SIZE)
        for x, sigma, got in zip(xs, SIGMAS, ask(guider), strict=True):
            base, prompt = denoised(MODEL, BASE, x, sigma), denoised(MODEL, PROMPT, x, sigma)
            other = denoised(model or MODEL, whole or condition, x, sigma)
            expected = base + 2.0 * (prompt - base) + 2.5 * (other - base) * half
            assert relative_error([got], [expected]) <= LIMIT
        assert "* area[c2] *" in guider.trace.formula

    def test_soft_edges_are_cores(self, pack: Any) -> None:
        """Alone, a soft mask gives the whole prediction wherever it is above zero."""
        ramp = torch.linspace(0.0, 1.0, SIZE).expand(1, SIZE, SIZE)
        got = ask(gcfg(pack, MODEL, BASE, {"positive": masked(pack, PROMPT, ramp), "weight": 3.0}))
        mask = (ramp > 0).float()
        expected = ask(gcfg(pack, MODEL, BASE, {"positive": PROMPT, "weight": 3.0, "mask": mask}))
        assert relative_error(got, expected) <= LIMIT

    def test_inside_one_term_is_cfg_and_outside_the_base(self, pack: Any) -> None:
        half = masked(pack, PROMPT, left_half(SIZE))
        ours, core = ask(gcfg(pack, MODEL, BASE, {"positive": half, "weight": 3.0})), ask(cfg(MODEL, half, BASE, 3.0))
        base = ask(gcfg(pack, MODEL, BASE))
        inside, outside = (..., slice(SIZE // 2)), (..., slice(SIZE // 2, None))
        assert relative_error([one[inside] for one in ours], [one[inside] for one in core]) <= LIMIT
        assert relative_error([one[outside] for one in ours], [one[outside] for one in base]) <= LIMIT
        assert relative_error([one[outside] for one in core], [one[outside] for one in base]) > 0.1, "zeros in core"

    @pytest.mark.parametrize("rest", ["other half", "default"])
    def test_conditions_that_cover_everything_together_stay_cfg_to_the_bit(self, pack: Any, rest: str) -> None:
        half = masked(pack, PROMPT, left_half(SIZE))
        if rest == "default":
            both = with_default(pack, half, OTHER)
        else:
            both = combined(pack, half, masked(pack, OTHER, 1 - left_half(SIZE)))
        ours, core = ask(gcfg(pack, MODEL, BASE, {"positive": both, "weight": 3.0})), ask(cfg(MODEL, both, BASE, 3.0))
        assert all(map(torch.equal, ours, core))

    def test_every_picture_of_a_batch_has_its_own(self, pack: Any) -> None:
        """The first is covered on the left, the second nowhere."""
        masks = torch.cat([left_half(SIZE), torch.zeros(1, SIZE, SIZE)])
        got = ask(gcfg(pack, MODEL, BASE, {"positive": masked(pack, PROMPT, masks), "weight": 3.0}), batch=2)
        expected = ask(gcfg(pack, MODEL, BASE, {"positive": PROMPT, "weight": 3.0, "mask": masks}), batch=2)
        assert relative_error(got, expected) <= LIMIT

    @pytest.mark.parametrize("modify", [
        {"norm_cap": 0.5}, {"projection": "own positive"}, {"projection": "other terms"}, {"refresh": 3},
    ], ids=str)  # fmt: skip
    def test_what_is_not_covered_has_no_part_in_modifiers(self, pack: Any, modify: dict[str, Any]) -> None:
        """Norms and inner products of the covered part alone: whatever the network gives outside, the result is one."""
        half = left_half(SIZE)
        term = {"positive": masked(pack, OTHER, half), "weight": 2.5, "modify": modify}
        guider = gcfg(pack, MODEL, BASE, {"positive": PROMPT, "weight": 2.0}, term)
        plain = ask(gcfg(pack, MODEL, BASE, {"positive": PROMPT, "weight": 2.0}))
        for got, without in zip(ask(guider), plain, strict=True):
            assert relative_error([got[..., SIZE // 2 :]], [without[..., SIZE // 2 :]]) <= LIMIT
        if "norm_cap" in modify:
            first = ask(guider)[0]
            push = (first - plain[0]).norm()
            assert float(push) == pytest.approx(2.5 * 0.5, rel=1e-3)

    def test_hooks_see_the_base_where_the_primary_is_not_covered(self, pack: Any) -> None:
        seen: list[dict] = []
        model = MODEL.clone()
        model.set_model_sampler_post_cfg_function(lambda arguments: seen.append(arguments) or arguments["denoised"])
        ask(gcfg(pack, model, BASE, {"positive": masked(pack, PROMPT, left_half(SIZE)), "weight": 3.0}), (1.0,))
        cond, uncond = seen[0]["cond_denoised"], seen[0]["uncond_denoised"]
        assert torch.equal(cond[..., SIZE // 2 :], uncond[..., SIZE // 2 :])
        assert not torch.equal(cond[..., : SIZE // 2], uncond[..., : SIZE // 2])

    def test_rescale_looks_at_a_whole_prediction(self, pack: Any) -> None:
        """Its deviation is that of the positive prediction, with the base where there is none."""
        half = left_half(SIZE)
        limited = gcfg(pack, MODEL, BASE, {"positive": masked(pack, PROMPT, half), "weight": 1.0}, rescale=1.0)
        # at weight 1 the result is that very prediction, so rescaling to it changes nothing
        plain = gcfg(pack, MODEL, BASE, {"positive": masked(pack, PROMPT, half), "weight": 1.0})
        assert relative_error(ask(limited), ask(plain)) <= LIMIT


class TestBase:
    """There must be a prediction for the terms to be added to."""

    @pytest.mark.parametrize("limit", [
        lambda pack: ranged(pack, BASE, 0.0, 0.5),
        lambda pack: masked(pack, BASE, left_half(SIZE)),
        lambda pack: placed(pack, BASE, 4 * SIZE, 8 * SIZE),
        lambda pack: [],
    ], ids=["range", "mask", "area", "empty"])  # fmt: skip
    def test_a_base_condition_that_leaves_something_out_is_refused(self, pack: Any, limit: Callable) -> None:
        with count_forwards(MODEL) as counter, pytest.raises(ValueError, match="input 'conditioning'.*combine it"):
            ask(gcfg(pack, MODEL, limit(pack), {"positive": PROMPT}))
        assert counter.forwards == 0

    def test_a_part_of_sampling_that_is_not_sampled_does_not_matter(self, pack: Any) -> None:
        base = ranged(pack, BASE, 0.0, 0.5)
        assert ask(gcfg(pack, MODEL, base, {"positive": PROMPT}), SIGMAS[:2])

    def test_a_base_made_of_two_ranges_is_whole(self, pack: Any) -> None:
        base = combined(pack, ranged(pack, BASE, 0.0, 0.5), ranged(pack, OTHER, 0.5, 1.0))
        ours = ask(gcfg(pack, MODEL, base, {"positive": PROMPT, "weight": 3.0}))
        assert all(map(torch.equal, ours, ask(cfg(MODEL, PROMPT, base, 3.0))))


class TestAgreesWithCore:
    @pytest.mark.parametrize("seed", range(24))
    def test_cover_is_where_core_gives_a_prediction(self, pack: Any, seed: int) -> None:
        """Random ranges, areas, masks, strengths, combinations and batches, at every tenth of sampling."""
        coverage = pack.module("nodes.sampling.coverage")
        r = random.Random(seed)
        batch = r.choice([1, 2, 3])
        condition = random_limits(pack, PROMPT, r, SIZE, batch)
        x = torch.zeros(batch, 4, SIZE, SIZE)
        conds = {"positive": comfy.sampler_helpers.convert_cond(condition)}
        processed = comfy.samplers.process_conds(MODEL.model, x, conds, MODEL.load_device, seed=0)["positive"]
        sampling = MODEL.get_model_object("model_sampling")
        for percent in (k / 10 + 0.05 for k in range(10)):
            sigma = torch.full([batch], float(sampling.percent_to_sigma(percent)))
            cover = coverage.cover_of(coverage.parts_in_force(processed, sigma), x)
            expected = core_cover(MODEL, condition, x, float(sigma[0]))
            assert torch.equal(torch.as_tensor(cover).expand(expected.shape).float(), expected)
            assert not coverage.is_whole(processed) or bool(expected.all())

    def test_masks_that_do_not_divide_the_batch_are_refused_by_name(self, pack: Any) -> None:
        """Core stops in the middle of sampling, with shapes."""
        masks = torch.rand(2, SIZE, SIZE)
        guider = gcfg(pack, MODEL, BASE, {"positive": masked(pack, PROMPT, masks), "label": "left"})
        with pytest.raises(ValueError, match="Guidance Term 'left', input 'positive'.*one for each picture"):
            ask(guider, batch=3)

    @pytest.mark.parametrize("batch", [1, 2, 3, 6])
    def test_prompts_that_do_not_fit_the_batch_are_named(
        self, pack: Any, batch: int, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Core repeats or cuts them without a word."""
        three = [[torch.cat([micro_cond(seed)[0][0] for seed in (1, 2, 3)]), {}]]
        ask(gcfg(pack, MODEL, BASE, {"positive": three, "label": "crowd"}), (1.0,), batch)
        lines = [line for line in caplog.messages if "3 prompts" in line]
        assert len(lines) == (batch % 3 != 0)
        assert all("Guidance Term 'crowd', input 'positive'" in line for line in lines)
