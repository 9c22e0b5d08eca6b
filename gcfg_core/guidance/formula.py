"""What a graph means and what it costs, as text, before anything runs."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from .coverage import Reach
from .curves import Constant, Curve
from .graph import names_of
from .hook_needs import NO_HOOKS, HookNeeds
from .plan import BASE, Plan
from .sampling_progress import Progress

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


def _windows_text(reach: Reach) -> str:
    if reach.is_always:
        return ""
    return " @ " + (", ".join(f"{one.start:.0%}-{one.end:.0%}" for one in reach.windows) or "never")


def _places_text(plan: Plan, i: int, names: Sequence[str]) -> str:
    """The factors that limit term i in space: its mask, and the places of its conditions."""
    term = plan.terms[i]
    mask = "" if term.mask is None else f" * mask[{term.label}]" if term.label else " * mask"
    partial = {names[side]: None for side in plan.sides[i] if not plan.predictions[side].reach.is_everywhere}
    return mask + "".join(f" * area[{name}]" for name in partial)


def _term_text(plan: Plan, i: int, is_unknown: bool) -> str:
    term, names = plan.terms[i], prediction_names(plan)
    positive, reference = (names[side] for side in plan.sides[i])
    difference = f"({positive} - {reference})"
    modifiers = term.modifiers
    if modifiers.norm_cap > 0.0:
        difference = f"cap[{_number(modifiers.norm_cap)}]{difference}"
    if plan.is_projected(i):
        difference = f"away[{modifiers.projection}, {_number(modifiers.parallel)}]{difference}"
    if modifiers.refresh > 1:
        difference = f"every[{modifiers.refresh}]{difference}"
    schedule = (_curve_text(term.curve) + _windows_text(plan.reach(i))).strip()
    weight = UNKNOWN if is_unknown else _number(abs(term.weight))
    places = _places_text(plan, i, condition_names(plan))
    return f"{weight}{{{schedule}}}{places} * {difference}" if schedule else f"{weight}{places} * {difference}"


def formula(plan: Plan) -> str:
    """One line such as 'D = base(null) + 2.5 * (concept(null) - base(null)) + 2.5 * (base(control) - base(null))'."""
    return " ".join(formula_lines(plan))


def formula_lines(plan: Plan, unknown: Collection[int] = ()) -> list[str]:
    """The formula with a line for the base and one for each term.

    Args:
        unknown: terms whose weight only a run will tell; a question mark stands for it.
    """
    lines = [f"D = {prediction_names(plan)[BASE]}"]
    for i, term in enumerate(plan.terms):
        sign = "-" if term.weight < 0 and i not in unknown else "+"
        lines.append(f"{sign} {_term_text(plan, i, i in unknown)}")
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
    windows = [window for i in range(len(plan.terms)) for window in plan.reach(i).windows]
    edges = sorted({0.0, 1.0, *(edge for window in windows for edge in (window.start, window.end))})
    progress = Progress(lambda percent: 1.0 - percent)
    phases: list[Phase] = []
    for start, end in zip(edges, edges[1:], strict=False):
        middle = 0.5 * (start + end)
        weights = _typical_weights(plan, middle)
        kept = hooks.kept(plan, weights, _sees_primary(plan, hooks, weights, 1.0 - middle, progress))
        count = len(plan.required(weights, kept=kept))
        if phases and phases[-1].evaluations == count:
            start = phases.pop().start
        phases.append(Phase(start, end, count))
    return phases


def most_evaluations(plan: Plan, hooks: HookNeeds = NO_HOOKS) -> int:
    """The most predictions that one call may evaluate, over all of sampling."""
    return max(phase.evaluations for phase in evaluation_phases(plan, hooks))


def _sees_primary(plan: Plan, hooks: HookNeeds, weights: Sequence[float], sigma: float, progress: Progress) -> bool:
    rests = plan.primary is not None and not plan.is_in_force(plan.primary, sigma, progress)
    return hooks.see_primary(plan, weights, sigma, progress, rests=rests)


def _typical_weights(plan: Plan, percent: float) -> list[float]:
    """Each term's weight at ``percent``; on a curve a value that neither vanishes nor cancels another."""
    weights: list[float] = []
    for i, term in enumerate(plan.terms):
        share = 1.0 if isinstance(term.curve, Constant) else math.pi ** -(i + 1)
        acts = any(window.start <= percent <= window.end for window in plan.reach(i).windows)
        weights.append(term.weight * share if acts else 0.0)
    return weights


def cost(plan: Plan, sigmas: Sequence[float], progress: Progress, hooks: HookNeeds = NO_HOOKS) -> Cost:
    """Count the evaluations of a run that calls the guider once at each of ``sigmas`` (descending, without the 0)."""
    counts = []
    computed: dict[int, int] = {}
    for call, sigma in enumerate(sigmas):
        weights = plan.weights(sigma, progress)
        active = [i for i, weight in enumerate(weights) if weight != 0.0]
        reused = frozenset(i for i in active if i in computed and call - computed[i] < plan.terms[i].modifiers.refresh)
        computed.update({i: call for i in active if i not in reused})
        kept = hooks.kept(plan, weights, _sees_primary(plan, hooks, weights, sigma, progress), reused)
        counts.append(len(plan.required(weights, reused=reused, kept=kept)))
    return Cost(len(counts), sum(counts), min(counts, default=0), max(counts, default=0))
