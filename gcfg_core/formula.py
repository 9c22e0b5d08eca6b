"""What a graph means and what it costs, as text, before anything runs."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from .curves import Constant, Curve
from .graph import GuidanceTerm, names_of
from .hook_needs import NO_HOOKS, HookNeeds
from .plan import BASE, Plan
from .schedule import Progress
from .weights import is_fixed, term_weights

UNKNOWN = "?"
"""Stands for a weight that only a run will tell."""


def model_names(plan: Plan) -> tuple[str, ...]:
    """'base', then for each other model the label of the first term that brings it in, or 'model2' ..."""
    names = ["base"]
    for model in range(1, len(plan.models)):
        owners = [
            term.label
            for side in (0, 1)
            for term, sides in zip(plan.terms, plan.sides, strict=True)
            if term.label and plan.predictions[sides[side]].model == model
        ]
        names.append(_unused(owners[0] if owners else f"model{model + 1}", names))
    return tuple(names)


def _unused(name: str, names: Sequence[str]) -> str:
    """The name, numbered where it is taken."""
    return name if name not in names else _unused(f"{name}{len(names) + 1}", names)


def term_names(plan: Plan) -> tuple[str, ...]:
    return names_of(plan.terms)


def condition_names(plan: Plan) -> tuple[str, ...]:
    """For each prediction the name of its condition: 'null' for the base's, the label of the first term that adds it on
    the base model, or 'c1', 'c2' ..."""
    conditions, names = [plan.predictions[BASE].condition], ["null"]
    found = []
    for j, prediction in enumerate(plan.predictions):
        index = next((k for k, known in enumerate(conditions) if known is prediction.condition), None)
        if index is None:
            index = len(conditions)
            conditions.append(prediction.condition)
            names.append(_unused(_condition_label(plan, j) or f"c{index}", names))
        found.append(names[index])
    return tuple(found)


def _condition_label(plan: Plan, j: int) -> str:
    """The label of the first term that adds the condition of prediction ``j`` with the base model on both sides."""
    for term, sides in zip(plan.terms, plan.sides, strict=True):
        positive, reference = (plan.predictions[side] for side in sides)
        is_base = positive.model == reference.model == BASE
        if term.label and is_base and positive.condition is plan.predictions[j].condition:
            return term.label
    return ""


def prediction_names(plan: Plan) -> tuple[str, ...]:
    """'base(null)', 'concept(null)', 'base(control)' ..."""
    models = model_names(plan)
    return tuple(
        f"{models[prediction.model]}({condition})"
        for prediction, condition in zip(plan.predictions, condition_names(plan), strict=True)
    )


def _number(value: float) -> str:
    return f"{value:.4g}"


def _curve_text(curve: Curve) -> str:
    return "" if isinstance(curve, Constant) else f" {type(curve).__name__.lower()}"


def _term_text(term: GuidanceTerm, positive: str, reference: str, is_projected: bool, is_unknown: bool) -> str:
    difference = f"({positive} - {reference})"
    modifiers = term.modifiers
    if modifiers.norm_cap > 0.0:
        difference = f"cap[{_number(modifiers.norm_cap)}]{difference}"
    if is_projected:
        difference = f"away[{modifiers.projection}, {_number(modifiers.parallel)}]{difference}"
    if modifiers.refresh > 1:
        difference = f"every[{modifiers.refresh}]{difference}"
    window = "" if term.window.is_whole else f" @ {term.window.start:.0%}-{term.window.end:.0%}"
    schedule = f"{{{(_curve_text(term.curve) + window).strip()}}}" if not is_fixed(term) else ""
    mask = "" if term.mask is None else f" * mask[{term.label}]" if term.label else " * mask"
    weight = UNKNOWN if is_unknown else _number(abs(term.weight))
    return f"{weight}{schedule}{mask} * {difference}"


def formula(plan: Plan) -> str:
    """One line such as 'D = base(null) + 2.5 * (concept(null) - base(null)) + 2.5 * (base(control) - base(null))'."""
    return " ".join(formula_lines(plan))


def formula_lines(plan: Plan, unknown: Collection[int] = ()) -> list[str]:
    """The formula with a line for the base and one for each term.

    Args:
        unknown: terms whose weight only a run will tell; a question mark stands for it.
    """
    names = prediction_names(plan)
    lines = [f"D = {names[BASE]}"]
    for i, (term, (positive, reference)) in enumerate(zip(plan.terms, plan.sides, strict=True)):
        sign = "-" if term.weight < 0 and i not in unknown else "+"
        text = _term_text(term, names[positive], names[reference], plan.is_projected(i), i in unknown)
        lines.append(f"{sign} {text}")
    if plan.graph.rescale > 0.0:
        lines[-1] += f", rescaled by {_number(plan.graph.rescale)}"
    return lines


@dataclass(frozen=True)
class Cost:
    """Evaluations (NFE: one prediction of one latent batch) over the guider calls of a run, one call per sigma."""

    calls: int
    evaluations: int
    smallest: int
    largest: int

    def __str__(self) -> str:
        mean = self.evaluations / max(self.calls, 1)
        spread = "" if self.smallest == self.largest else f" ({self.smallest} to {self.largest})"
        noun = "evaluation" if mean == 1 else "evaluations"
        return f"{mean:.4g} {noun} per call{spread}, {self.evaluations} in {self.calls} calls"


@dataclass(frozen=True)
class Phase:
    """A part of sampling, from ``start`` to ``end`` percent (0 to 1), and the evaluations of each of its calls."""

    start: float
    end: float
    evaluations: int


def evaluation_phases(plan: Plan, hooks: HookNeeds = NO_HOOKS) -> list[Phase]:
    """The most predictions that one call may evaluate, for each part of sampling in which it is the same number.

    Between two edges of windows the same terms act; a curve's weight stands for all the weights it passes through, none
    of which saves a prediction for longer than a moment.
    """
    edges = sorted({0.0, 1.0, *(edge for term in plan.terms for edge in (term.window.start, term.window.end))})
    progress = Progress(lambda percent: 1.0 - percent)
    phases: list[Phase] = []
    for start, end in zip(edges, edges[1:], strict=False):
        middle = 0.5 * (start + end)
        weights = _typical_weights(plan.terms, middle)
        kept = hooks.kept(plan, weights, hooks.see_primary(plan, weights, 1.0 - middle, progress))
        count = len(plan.required(weights, kept=kept))
        if phases and phases[-1].evaluations == count:
            start = phases.pop().start
        phases.append(Phase(start, end, count))
    return phases


def most_evaluations(plan: Plan, hooks: HookNeeds = NO_HOOKS) -> int:
    """The most predictions that one call may evaluate, over all of sampling."""
    return max(phase.evaluations for phase in evaluation_phases(plan, hooks))


def _typical_weights(terms: Sequence[GuidanceTerm], percent: float) -> list[float]:
    """Each term's weight at ``percent``; on a curve a value that neither vanishes nor cancels another."""
    weights = []
    for i, term in enumerate(terms):
        share = 1.0 if isinstance(term.curve, Constant) else math.pi ** -(i + 1)
        weights.append(term.weight * share if term.window.start <= percent <= term.window.end else 0.0)
    return weights


def cost(plan: Plan, sigmas: Sequence[float], progress: Progress, hooks: HookNeeds = NO_HOOKS) -> Cost:
    """Count the evaluations of a run that calls the guider once at each of ``sigmas`` (descending, without the 0)."""
    counts = []
    computed: dict[int, int] = {}
    for call, sigma in enumerate(sigmas):
        weights = term_weights(plan.terms, sigma, progress)
        active = [i for i, weight in enumerate(weights) if weight != 0.0]
        reused = frozenset(i for i in active if i in computed and call - computed[i] < plan.terms[i].modifiers.refresh)
        computed.update({i: call for i in active if i not in reused})
        kept = hooks.kept(plan, weights, hooks.see_primary(plan, weights, sigma, progress), reused)
        counts.append(len(plan.required(weights, reused=reused, kept=kept)))
    return Cost(len(counts), sum(counts), min(counts, default=0), max(counts, default=0))
