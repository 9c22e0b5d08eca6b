"""The cost of a graph before a run: evaluations in total, and per call in each part of sampling."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from .call import GuiderCalls
from .curves import CONSTANT, Constant
from .graph import GuidanceTerm
from .hook_needs import NO_NEEDS, HookNeeds
from .plan import Plan
from .sampling_progress import SamplingProgress


@dataclass(frozen=True)
class Cost:
    """Evaluations over the guider calls of a run (NFE: one prediction of one latent batch), with one call per sigma."""

    calls: int
    evaluations: int
    smallest: int
    largest: int

    def __str__(self) -> str:
        mean = self.evaluations / max(self.calls, 1)
        spread = "" if self.smallest == self.largest else f" ({self.smallest} to {self.largest})"
        noun = "evaluation" if mean == 1 else "evaluations"
        return f"{mean:.4g} {noun} per call{spread}, {self.evaluations} in {self.calls} calls"


def cost(plan: Plan, sigmas: Sequence[float], progress: SamplingProgress, hooks: HookNeeds = NO_NEEDS) -> Cost:
    """Count the evaluations of a run that calls the guider once at each of ``sigmas`` (descending, without the 0)."""
    calls = GuiderCalls(plan, progress)
    counts = [len(calls.decide(sigma, needs=hooks).required) for sigma in sigmas]
    return Cost(len(counts), sum(counts), min(counts, default=0), max(counts, default=0))


@dataclass(frozen=True)
class Phase:
    """A part of sampling, from ``start`` to ``end`` percent (0 to 1), and the number of evaluations in each of its
    calls."""

    start: float
    end: float
    evaluations: int


def evaluation_phases(plan: Plan, hooks: HookNeeds = NO_NEEDS) -> list[Phase]:
    """Split sampling into parts with the same largest number of evaluations per call.

    Between two edges of windows the same terms act. A curve is replaced by a typical weight: a weight at which a
    prediction could be skipped lasts no longer than one sigma.
    """
    windows = [window for i in range(len(plan.terms)) for window in plan.reach(i).windows]
    edges = sorted({0.0, 1.0, *(edge for window in windows for edge in (window.start, window.end))})
    typical = _with_typical_weights(plan)
    progress = SamplingProgress(lambda percent: 1.0 - percent)
    phases: list[Phase] = []
    for start, end in zip(edges, edges[1:], strict=False):
        sigma = 1.0 - 0.5 * (start + end)
        count = len(GuiderCalls(typical, progress).decide(sigma, needs=hooks).required)
        if phases and phases[-1].evaluations == count:
            start = phases.pop().start
        phases.append(Phase(start, end, count))
    return phases


def most_evaluations(plan: Plan, hooks: HookNeeds = NO_NEEDS) -> int:
    """Return the largest number of predictions that any call may evaluate."""
    return max(phase.evaluations for phase in evaluation_phases(plan, hooks))


def _with_typical_weights(plan: Plan) -> Plan:
    """Replace each curve by a constant weight that is not zero and does not cancel another."""
    terms = tuple(_with_typical_weight(i, term) for i, term in enumerate(plan.terms))
    return replace(plan, graph=replace(plan.graph, terms=terms))


def _with_typical_weight(i: int, term: GuidanceTerm) -> GuidanceTerm:
    if isinstance(term.curve, Constant):
        return term
    return replace(term, weight=term.weight * math.pi ** -(i + 1), curve=CONSTANT)
