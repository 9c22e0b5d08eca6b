"""What a graph means and costs, as text."""

import logging
from typing import Any

import pytest
import torch

from gcfg_core.guidance.cost import cost, most_evaluations
from gcfg_core.guidance.curves import Linear
from gcfg_core.guidance.formula import formula, model_names, prediction_names, term_names
from gcfg_core.guidance.graph import GuidanceGraph, GuidanceTerm, Side
from gcfg_core.guidance.modifiers import NormCap, Project, Refresh
from gcfg_core.guidance.plan import Plan, compile_plan
from gcfg_core.guidance.sampling_progress import SamplingProgress, Window
from rigs.micro import micro_cond, micro_latent, micro_model

NULL, PROMPT = object(), object()
LINE = SamplingProgress(lambda percent: 1.0 - percent)


def plan_of(*terms: GuidanceTerm, rescale: float = 0.0) -> Plan:
    return compile_plan(GuidanceGraph(Side("base", NULL), terms, rescale))


CONCEPT = GuidanceTerm(Side("c"), weight=2.5, label="concept")
CONTROL = GuidanceTerm(Side(None, PROMPT), weight=2.5)


class TestFormula:
    def test_no_terms(self) -> None:
        assert formula(plan_of()) == "D = base(null)"

    def test_the_papers_graph(self) -> None:
        assert formula(plan_of(CONCEPT, CONTROL)) == (
            "D = base(null) + 2.5 * (concept(null) - base(null)) + 2.5 * (base(c1) - base(null))"
        )

    def test_negative_masked_windowed_and_rescaled(self) -> None:
        term = GuidanceTerm(
            Side(None, PROMPT), weight=-1.25, window=Window(0.2, 0.8), curve=Linear(0.0), mask=torch.ones(1, 8, 8)
        )
        assert formula(plan_of(term, rescale=0.7)) == (
            "D = base(null) - 1.25{linear @ 20%-80%} * mask * (base(c1) - base(null)), rescaled by 0.7"
        )

    def test_modifiers_stand_in_the_order_they_act(self) -> None:
        term = CONTROL.with_modifiers(NormCap(5.0), Project("own positive", 0.25), Refresh(3))
        assert "every[3]away[own positive, 0.25]cap[5](base(c1) - base(null))" in formula(plan_of(term)).replace(
            " * ", ""
        )

    def test_names(self) -> None:
        plan = plan_of(CONCEPT, GuidanceTerm(Side("d"), Side("e", PROMPT), 1.0), CONTROL)
        assert model_names(plan) == ("base", "concept", "model3", "model4")
        assert term_names(plan) == ("concept", "term 2", "term 3")
        assert prediction_names(plan) == ("base(null)", "concept(null)", "model3(null)", "model4(c1)", "base(c1)")

    def test_a_term_on_the_base_model_names_its_condition(self) -> None:
        other = object()
        control = GuidanceTerm(Side(None, PROMPT), weight=2.5, label="control")
        lora = GuidanceTerm(Side("l", PROMPT), Side(None, PROMPT), 2.0, label="lora")
        unnamed = GuidanceTerm(Side("l", other), label="style")
        plan = plan_of(lora, control, unnamed)
        assert prediction_names(plan) == ("base(null)", "lora(control)", "base(control)", "lora(c2)")

    def test_two_conditions_never_share_a_name(self) -> None:
        one, other = (GuidanceTerm(Side(None, object()), label="prompt") for _ in range(2))
        null = GuidanceTerm(Side(None, object()), label="null")
        assert len(set(prediction_names(plan_of(one, other, null)))) == 4

    def test_a_model_that_is_only_a_reference_has_its_terms_name(self) -> None:
        weaker = GuidanceTerm(Side(None, PROMPT), Side("w", PROMPT), 1.5, label="weaker")
        assert model_names(plan_of(CONTROL, weaker)) == ("base", "weaker")

    def test_masks_carry_their_terms_label(self) -> None:
        term = GuidanceTerm(Side(None, PROMPT), weight=2.0, mask=torch.ones(1, 8, 8), label="left")
        assert formula(plan_of(term)) == "D = base(null) + 2 * mask[left] * (base(left) - base(null))"

    def test_two_models_never_share_a_name(self) -> None:
        plan = plan_of(CONCEPT, GuidanceTerm(Side("d"), label="concept"), GuidanceTerm(Side("e"), label="base"))
        assert len(set(model_names(plan))) == 4


class TestCost:
    SIGMAS = tuple(1.0 - k / 10 for k in range(10))

    def test_plain(self) -> None:
        spent = cost(plan_of(CONCEPT, CONTROL), self.SIGMAS, LINE)
        assert (spent.calls, spent.evaluations, spent.smallest, spent.largest) == (10, 30, 3, 3)
        assert str(spent) == "3 evaluations per call, 30 in 10 calls"
        assert str(cost(plan_of(), self.SIGMAS, LINE)) == "1 evaluation per call, 10 in 10 calls"

    def test_window(self) -> None:
        """Active at 0.8, 0.7, 0.6 and not at its end, 0.5."""
        term = GuidanceTerm(Side("c"), weight=2.5, window=Window(0.2, 0.5))
        spent = cost(plan_of(term), self.SIGMAS, SamplingProgress(lambda percent: round(1.0 - percent, 6)))
        assert (spent.evaluations, spent.smallest, spent.largest) == (13, 1, 2)
        assert str(spent) == "1.3 evaluations per call (1 to 2), 13 in 10 calls"

    @pytest.mark.parametrize(("every", "fresh"), [(1, 10), (2, 5), (3, 4), (4, 3), (100, 1)])
    def test_refresh(self, every: int, fresh: int) -> None:
        term = CONCEPT.with_modifiers(Refresh(every))
        assert cost(plan_of(term), self.SIGMAS, LINE).evaluations == 10 + fresh

    def test_nothing_to_sample(self) -> None:
        assert cost(plan_of(CONCEPT), [], LINE).evaluations == 0


class TestMostEvaluations:
    @pytest.mark.parametrize(
        ("term", "most"),
        [
            (GuidanceTerm(Side(None, PROMPT), weight=1.0), 1),
            (GuidanceTerm(Side(None, PROMPT), weight=1.0, window=Window(0.2, 0.8)), 1),
            (GuidanceTerm(Side(None, PROMPT), weight=1.0, curve=Linear(0.0)), 2),
            (GuidanceTerm(Side(None, PROMPT), weight=2.0, window=Window(0.2, 0.21)), 2),
            (GuidanceTerm(Side(None, PROMPT), weight=0.0), 1),
        ],
    )
    def test_of_one_term(self, term: GuidanceTerm, most: int) -> None:
        assert most_evaluations(plan_of(term)) == most

    def test_windows_that_never_meet(self) -> None:
        first = GuidanceTerm(Side("c"), weight=2.0, window=Window(0.0, 0.5))
        last = GuidanceTerm(Side("d"), weight=2.0, window=Window(0.5, 1.0))
        assert most_evaluations(plan_of(first, last)) == 2

    def test_no_terms(self) -> None:
        assert most_evaluations(plan_of()) == 1


@pytest.mark.parametrize("hook", [None, "RescaleCFG", "PerturbedAttentionGuidance"])
@pytest.mark.parametrize("sampler", ["euler", "dpmpp_2m", "lcm", "ddim", "euler_cfg_pp"])
def test_the_cost_in_the_log_is_what_a_single_stage_run_spends(
    pack: Any, caplog: pytest.LogCaptureFixture, sampler: str, hook: str | None
) -> None:
    """With refresh and a curve, and for the primary term at weight 1 and 0, where hooks keep what else is skipped."""
    models = [micro_model(0), micro_model(1)]
    if hook is not None:
        (models[0],) = pack.run(hook, model=models[0])
    (terms,) = pack.run("GCFG_GuidanceTerm", model=models[1], weight=2.5, end_percent=0.6, label="concept")
    (terms,) = pack.run("GCFG_ModifyTerm", terms=terms, refresh=2)
    (terms,) = pack.run("GCFG_GuidanceTerm", terms=terms, positive=micro_cond(1), weight=1.0, curve="keyframes",
                        keyframes="0:0, 0.3:0, 0.4:1, 0.8:1, 1:2")  # fmt: skip
    (terms,) = pack.run("GCFG_ModifyTerm", terms=terms, refresh=2)
    inputs = dict(model=models[0], conditioning=micro_cond(0), terms=terms, latent_image=micro_latent(0), steps=9,
                  sampler_name=sampler, scheduler="normal")  # fmt: skip
    with caplog.at_level(logging.INFO):
        _, trace = pack.run("GCFG_Sampler", **inputs)
    text = next(record.getMessage() for record in caplog.records if record.getMessage().startswith("GCFG: D = "))
    assert f", {trace.evaluations} in {len(trace.records)} calls at one a step, 2 models" in text
    assert trace.formula in text
    shown = pack.ui("GCFG_Sampler", **inputs)
    assert text.removeprefix("GCFG: ") in str(shown["text"][0])


@pytest.mark.parametrize(
    "inputs", [{"weight": 2.5}, {"weight": 1.0, "curve": "linear"}, {"weight": 1.0, "curve": "ramp"}]
)
def test_the_guider_says_what_a_call_costs_at_most(pack: Any, caplog: pytest.LogCaptureFixture, inputs: dict) -> None:
    """A weight of 1 saves the base only as long as no curve moves it."""
    (terms,) = pack.run("GCFG_GuidanceTerm", positive=micro_cond(1), **inputs)
    with caplog.at_level(logging.INFO):
        pack.run("GCFG_Guider", model=micro_model(0), conditioning=micro_cond(0), terms=terms)
    assert "at most 2 evaluations per sampler call, 1 model" in caplog.text


def test_the_guider_says_where_cfg_pp_samplers_cost_more(pack: Any, caplog: pytest.LogCaptureFixture) -> None:
    (terms,) = pack.run("GCFG_GuidanceTerm", positive=micro_cond(1), weight=1.0)
    with caplog.at_level(logging.INFO):
        pack.run("GCFG_Guider", model=micro_model(0), conditioning=micro_cond(0), terms=terms)
    assert "at most 1 evaluation per sampler call (2 under CFG++ samplers), 1 model" in caplog.text
