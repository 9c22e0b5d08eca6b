"""The plan: unique predictions, coefficients, what is skipped, and the primary term."""

import pytest
import torch

import gcfg_core.guidance.plan
from gcfg_core.guidance.graph import GuidanceGraph, GuidanceTerm, Side
from gcfg_core.guidance.modifiers import NormCap, Project, Projection, Refresh
from gcfg_core.guidance.plan import BASE, Plan, compile_plan

BASE_MODEL, CONCEPT, OTHER = "base", "concept", "other"
NULL, PROMPT, SECOND = object(), object(), object()


def term(
    weight: float = 1.0,
    positive: tuple = (),
    reference: tuple = (),
    mask: torch.Tensor | None = None,
    projection: Projection = "off",
    parallel: float = 0.0,
    norm_cap: float = 0.0,
    refresh: int = 1,
) -> GuidanceTerm:
    modifiers = (NormCap(norm_cap), Project(projection, parallel), Refresh(refresh))
    return GuidanceTerm(Side(*positive), Side(*reference), weight, mask=mask, modifiers=modifiers)


def plan_of(*terms: GuidanceTerm, rescale: float = 0.0) -> Plan:
    return compile_plan(GuidanceGraph(Side(BASE_MODEL, NULL), terms, rescale))


def sides(plan: Plan, required: frozenset[int]) -> set:
    """Required predictions as (model, condition)."""
    return {(plan.models[plan.predictions[j].model], plan.predictions[j].condition) for j in required}


def needs(plan: Plan, **options: object) -> set:
    return sides(plan, plan.required([t.weight for t in plan.terms], **options))


CONTROL = (None, PROMPT)
BASE_NULL, BASE_PROMPT = (BASE_MODEL, NULL), (BASE_MODEL, PROMPT)


class TestUniquePredictions:
    def test_the_papers_graph_has_three(self) -> None:
        plan = plan_of(term(2.5, (CONCEPT,)), term(2.5, CONTROL))
        assert needs(plan) == {BASE_NULL, (CONCEPT, NULL), BASE_PROMPT}
        assert plan.models == (BASE_MODEL, CONCEPT)
        assert plan.sides == ((1, BASE), (2, BASE))

    def test_what_terms_share_is_one_prediction(self) -> None:
        plan = plan_of(term(2, (CONCEPT, PROMPT)), term(3, CONTROL, (CONCEPT, PROMPT)), term(1, (CONCEPT, PROMPT)))
        assert len(plan.predictions) == 3

    def test_naming_the_base_is_the_same_as_leaving_it_out(self) -> None:
        plan = plan_of(term(2, (BASE_MODEL, PROMPT), (BASE_MODEL, NULL)))
        assert plan.sides == ((1, BASE),)
        assert plan.primary == 0

    def test_equal_conditions_are_told_apart_by_identity(self) -> None:
        one, two = [[torch.zeros(1), {}]], [[torch.zeros(1), {}]]
        assert len(plan_of(term(1, (None, one)), term(1, (None, two))).predictions) == 3
        assert len(plan_of(term(1, (None, one)), term(1, (None, one))).predictions) == 2

    def test_models_are_told_apart_by_the_given_rule(self) -> None:
        graph = GuidanceGraph(Side("a1", NULL), (term(1, ("a2",)), term(1, ("b1",))))
        assert len(compile_plan(graph, lambda x, y: x[0] == y[0]).models) == 2
        assert len(compile_plan(graph).models) == 3


class TestPrimary:
    def test_is_the_first_term_of_both_sides_on_the_base(self) -> None:
        terms = term(2, (CONCEPT,)), term(2, CONTROL, (CONCEPT,)), term(1, CONTROL), term(1, (None, SECOND))
        assert plan_of(*terms).primary == 2

    @pytest.mark.parametrize("other", [term(2, (CONCEPT,)), term(2, CONTROL, (None, SECOND)), term(2)])
    def test_is_none_where_no_term_is(self, other: GuidanceTerm) -> None:
        assert plan_of(other).primary is None
        assert plan_of().primary is None


class TestSkipping:
    def test_no_terms_need_the_base(self) -> None:
        assert needs(plan_of()) == {BASE_NULL}

    def test_weight_1_needs_no_base(self) -> None:
        assert needs(plan_of(term(1, CONTROL))) == {BASE_PROMPT}

    def test_weight_0_needs_the_base_alone(self) -> None:
        assert needs(plan_of(term(0, CONTROL), term(0, (CONCEPT,)))) == {BASE_NULL}

    def test_a_term_between_equals_costs_nothing(self) -> None:
        assert needs(plan_of(term(3, CONTROL, CONTROL))) == {BASE_NULL}
        assert needs(plan_of(term(3))) == {BASE_NULL}

    @pytest.mark.parametrize("parts", [(0.3, 0.7), (0.1, 0.2, 0.7), (2.5, -1.5), (0.7, 0.2, 0.1), (1e-3, 0.999)])
    def test_rounding_does_not_hide_a_cancellation(self, parts: tuple) -> None:
        """1 - 0.1 - 0.2 - 0.7 is 2.8e-17 in floats."""
        conditions = [object() for _ in parts]
        plan = plan_of(*(term(w, (None, c)) for w, c in zip(parts, conditions, strict=True)))
        assert BASE_NULL not in needs(plan)
        assert len(needs(plan)) == len(parts)

    def test_a_small_weight_is_not_a_cancellation(self) -> None:
        assert len(needs(plan_of(term(1e-9, CONTROL)))) == 2
        assert len(needs(plan_of(term(1 - 1e-6, CONTROL)))) == 2

    def test_opposite_terms_cancel(self) -> None:
        assert needs(plan_of(term(2, CONTROL), term(-2, CONTROL))) == {BASE_NULL}

    def test_telescoping_terms_skip_the_middle(self) -> None:
        plan = plan_of(term(2, CONTROL), term(2, (CONCEPT, PROMPT), CONTROL))
        assert needs(plan) == {BASE_NULL, (CONCEPT, PROMPT)}

    def test_domain_guidance_needs_two(self) -> None:
        """Fine-tuned conditional minus pre-trained unconditional, on the unconditional."""
        assert needs(plan_of(term(4, (CONCEPT, PROMPT)))) == {BASE_NULL, (CONCEPT, PROMPT)}


class TestMasks:
    M = torch.rand(1, 8, 8, generator=torch.Generator().manual_seed(0))

    def test_masks_that_cover_everything_drop_the_base(self) -> None:
        plan = plan_of(term(1, CONTROL, mask=self.M), term(1, (None, SECOND), mask=1 - self.M))
        assert needs(plan) == {BASE_PROMPT, (BASE_MODEL, SECOND)}

    @pytest.mark.parametrize("weights", [(1.0, 1.1), (2.0, 1.0)])
    def test_other_weights_keep_it(self, weights: tuple) -> None:
        plan = plan_of(term(weights[0], CONTROL, mask=self.M), term(weights[1], (None, SECOND), mask=1 - self.M))
        assert BASE_NULL in needs(plan)

    def test_a_white_mask_at_weight_1_drops_the_base(self) -> None:
        assert needs(plan_of(term(1, CONTROL, mask=torch.ones(1, 8, 8)))) == {BASE_PROMPT}

    def test_a_black_mask_drops_its_sides(self) -> None:
        assert needs(plan_of(term(1, CONTROL, mask=torch.zeros(1, 8, 8)))) == {BASE_NULL}

    def test_one_pixel_is_enough_to_keep_a_side(self) -> None:
        mask = torch.zeros(1, 64, 64)
        mask[0, 3, 5] = 1.0
        assert BASE_PROMPT in needs(plan_of(term(1, CONTROL, mask=mask)))

    def test_masks_of_different_size_are_not_compared(self) -> None:
        """At latent size they are of one size; before, the plan says at most what it costs."""
        large = torch.ones(1, 16, 16)
        plan = plan_of(term(1, CONTROL, mask=torch.ones(1, 8, 8)), term(0.5, (None, SECOND), mask=large))
        assert BASE_NULL in needs(plan)


class TestModifiersKeepTheirSides:
    @pytest.mark.parametrize("modifier", [{"projection": "own positive"}, {"norm_cap": 3.0}, {"refresh": 2}])
    def test_both_sides_whatever_the_weight(self, modifier: dict) -> None:
        assert needs(plan_of(term(1, CONTROL, **modifier))) == {BASE_NULL, BASE_PROMPT}

    @pytest.mark.parametrize("neutral", [{"projection": "own positive", "parallel": 1.0}, {"refresh": 1}])
    def test_a_neutral_modifier_keeps_nothing(self, neutral: dict) -> None:
        assert needs(plan_of(term(1, CONTROL, **neutral))) == {BASE_PROMPT}

    def test_a_direction_is_evaluated(self) -> None:
        away = term(-1, (None, SECOND), projection="primary term")
        assert needs(plan_of(term(1, CONTROL), away)) == {BASE_NULL, BASE_PROMPT, (BASE_MODEL, SECOND)}

    def test_an_inactive_direction_is_not(self) -> None:
        plan = plan_of(term(1, CONTROL), term(-1, (None, SECOND), projection="primary term"))
        assert sides(plan, plan.required([0.0, -1.0])) == {BASE_NULL, (BASE_MODEL, SECOND)}

    def test_all_others_as_direction(self) -> None:
        terms = (
            term(1, (OTHER,)),
            term(1, CONTROL, (CONCEPT, PROMPT)),
            term(1, (None, SECOND), projection="other terms"),
        )
        assert len(needs(plan_of(*terms))) == 5

    def test_a_reused_difference_costs_nothing(self) -> None:
        plan = plan_of(term(2.5, (CONCEPT,), refresh=2), term(1, CONTROL))
        assert needs(plan, reused=frozenset({0})) == {BASE_PROMPT}

    def test_rescale_keeps_the_first_active_terms_positive(self) -> None:
        plan = plan_of(term(2, CONTROL), term(-2, CONTROL), rescale=0.7)
        assert needs(plan) == {BASE_NULL, BASE_PROMPT}
        assert plan.rescale_target([0.0, -2.0]) == plan.sides[1][0]
        assert plan_of(rescale=0.7).rescale_target([]) is None

    def test_hooks_can_ask_for_a_side(self) -> None:
        plan = plan_of(term(1, CONTROL))
        assert needs(plan, kept=frozenset({BASE})) == {BASE_NULL, BASE_PROMPT}


def test_what_is_required_is_worked_out_once_for_each_set_of_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    plan, calls = plan_of(term(2, CONTROL)), []
    original = gcfg_core.guidance.plan.Plan.coefficients
    monkeypatch.setattr(gcfg_core.guidance.plan.Plan, "coefficients", lambda *a: calls.append(1) or original(*a))
    for _ in range(3):
        plan.required([2.0])
    plan.required([3.0])
    assert len(calls) == 2


class TestProjectionFromAPrimaryTermThatIsNotThere:
    def test_costs_nothing(self) -> None:
        plan = plan_of(term(1.0, (CONCEPT, PROMPT), projection="primary term"))
        assert not plan.acting(0)
        assert needs(plan) == {(CONCEPT, PROMPT)}

    def test_nor_does_the_primary_term_itself(self) -> None:
        plan = plan_of(term(1.0, CONTROL, projection="primary term"))
        assert not plan.acting(0)
        assert needs(plan) == {BASE_PROMPT}

    def test_beside_one_both_sides_are_kept(self) -> None:
        plan = plan_of(term(1.0, CONTROL), term(1.0, (CONCEPT, PROMPT), CONTROL, projection="primary term"))
        assert plan.acting(1)
        assert needs(plan) == {BASE_NULL, BASE_PROMPT, (CONCEPT, PROMPT)}


def test_masks_of_different_counts_cancel_where_they_cover_everything() -> None:
    one = torch.rand(1, 8, 8, generator=torch.Generator().manual_seed(0))
    plan = plan_of(term(1.0, CONTROL, mask=one), term(1.0, (None, SECOND), mask=(1 - one).repeat(2, 1, 1)))
    assert needs(plan) == {BASE_PROMPT, (BASE_MODEL, SECOND)}
    apart = plan_of(term(1.0, CONTROL, mask=one.repeat(3, 1, 1)), term(1.0, CONTROL, mask=(1 - one).repeat(2, 1, 1)))
    assert BASE_NULL in needs(apart)
