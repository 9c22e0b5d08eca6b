"""What a graph means and what it costs, as text, before anything runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .curves import Constant, Curve
from .graph import GuidanceTerm
from .plan import BASE, Plan
from .schedule import Progress
from .weights import is_fixed, term_weights

WITHIN = (0.013, 0.11, 0.23, 0.37, 0.51, 0.63, 0.77, 0.89, 0.987)
"""Where between two edges of windows most_evaluations looks."""


def model_names(plan: Plan) -> tuple[str, ...]:
    """'base', then for each other model the label of the first term that names it as its positive, or 'model2' ..."""
    names = ["base"]
    for model in range(1, len(plan.models)):
        labels = (
            term.label
            for term, (positive, _) in zip(plan.terms, plan.sides, strict=True)
            if term.label and plan.predictions[positive].model == model
        )
        name = next(labels, f"model{model + 1}")
        names.append(name if name not in names else f"{name}{model + 1}")
    return tuple(names)


def term_names(plan: Plan) -> tuple[str, ...]:
    return tuple(term.label or f"term {i + 1}" for i, term in enumerate(plan.terms))


def prediction_names(plan: Plan) -> tuple[str, ...]:
    """'base(null)', 'concept(null)', 'base(c1)' ...: the null condition is the base's, others are numbered."""
    models, conditions, names = model_names(plan), [plan.predictions[BASE].condition], []
    for prediction in plan.predictions:
        index = next((k for k, known in enumerate(conditions) if known is prediction.condition), None)
        if index is None:
            conditions.append(prediction.condition)
            index = len(conditions) - 1
        names.append(f"{models[prediction.model]}({f'c{index}' if index else 'null'})")
    return tuple(names)


def _number(value: float) -> str:
    return f"{value:.4g}"


def _curve_text(curve: Curve) -> str:
    return "" if isinstance(curve, Constant) else f" {type(curve).__name__.lower()}"


def _term_text(term: GuidanceTerm, positive: str, reference: str) -> str:
    difference = f"({positive} - {reference})"
    modifiers = term.modifiers
    if modifiers.norm_cap > 0.0:
        difference = f"cap[{_number(modifiers.norm_cap)}]{difference}"
    if modifiers.projects:
        difference = f"away[{modifiers.projection}, {_number(modifiers.parallel)}]{difference}"
    if modifiers.refresh > 1:
        difference = f"every[{modifiers.refresh}]{difference}"
    window = "" if term.window.is_whole else f" @ {term.window.start:.0%}-{term.window.end:.0%}"
    schedule = f"{{{(_curve_text(term.curve) + window).strip()}}}" if not is_fixed(term) else ""
    mask = "" if term.mask is None else " * mask"
    return f"{_number(abs(term.weight))}{schedule}{mask} * {difference}"


def formula(plan: Plan) -> str:
    """One line such as 'D = base(null) + 2.5 * (concept(null) - base(null)) + 2.5 * (base(c1) - base(null))'."""
    names = prediction_names(plan)
    text = f"D = {names[BASE]}"
    for term, (positive, reference) in zip(plan.terms, plan.sides, strict=True):
        sign = "-" if term.weight < 0 else "+"
        text += f" {sign} {_term_text(term, names[positive], names[reference])}"
    if plan.graph.rescale > 0.0:
        text += f", rescaled by {_number(plan.graph.rescale)}"
    return text


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
        return f"{mean:.4g} evaluations per call{spread}, {self.evaluations} in {self.calls} calls"


def most_evaluations(plan: Plan) -> int:
    """The most predictions that one call may evaluate, over all of sampling: between two edges of windows the weights
    vary, and a weight that happens to save a prediction (1, or 0) at one point of a curve saves it nowhere else."""
    edges = sorted({0.0, 1.0, *(edge for term in plan.terms for edge in (term.window.start, term.window.end))})
    progress = Progress(lambda percent: 1.0 - percent)
    most = 0
    for start, end in zip(edges, edges[1:], strict=False):
        for share in WITHIN:
            sigma = 1.0 - (start + (end - start) * share)
            most = max(most, len(plan.required(term_weights(plan.terms, sigma, progress))))
    return most


def cost(plan: Plan, sigmas: Sequence[float], progress: Progress) -> Cost:
    """Count the evaluations of a run that calls the guider once at each of ``sigmas`` (descending, without the 0)."""
    counts = []
    computed: dict[int, int] = {}
    for call, sigma in enumerate(sigmas):
        weights = term_weights(plan.terms, sigma, progress)
        active = [i for i, weight in enumerate(weights) if weight != 0.0]
        reused = frozenset(i for i in active if i in computed and call - computed[i] < plan.terms[i].modifiers.refresh)
        computed.update({i: call for i in active if i not in reused})
        counts.append(len(plan.required(weights, reused=reused)))
    return Cost(len(counts), sum(counts), min(counts, default=0), max(counts, default=0))
