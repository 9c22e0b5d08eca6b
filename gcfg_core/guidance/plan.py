"""The plan: a compiled graph with its distinct predictions, and the rule for which of them a guider call evaluates.

    D = sum_j a_j * D(x; m_j, c_j)

``a_j`` collects +1 for the base and every weight in which prediction j takes part. A prediction whose coefficient is
zero in a call is not evaluated; combine.py has the rest of the arithmetic.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from torch import Tensor

from .coverage import UNKNOWN, WHOLE, Coverage, Reach, intersection
from .graph import GuidanceGraph, GuidanceTerm, Side
from .modifiers import Modifier

BASE = 0
"""Index of the base prediction, and of the base model."""

CANCELLED = 1e-12
"""A sum of weights this small relative to its parts is a rounding error: 1 - 0.3 - 0.7 counts as zero."""
CANCELLED_MAP = 2.0**-22
"""The same for float32 masks."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """D(x; models[model], condition), which exists where the condition is in force."""

    model: int
    condition: object
    reach: Reach = WHOLE


class Coefficient:
    """a_j: a number plus a number for each mask, a_j = c + sum_k c_k * M_k."""

    def __init__(self) -> None:
        self.parts: dict[int | None, list[float]] = defaultdict(list)

    def add(self, weight: float, mask: int | None = None) -> None:
        self.parts[mask].append(weight)

    def is_zero(self, masks: Sequence[Tensor | None]) -> bool:
        """True if the coefficient is zero everywhere under the terms' ``masks``.

        False if a mask is not known yet, or if the masks' sizes differ.
        """
        sums = {}
        for key, weights in self.parts.items():
            total = sum(weights)
            sums[key] = 0.0 if abs(total) <= CANCELLED * sum(map(abs, weights)) else total
        scale = sum(map(abs, sums.values()))
        if scale == 0.0:
            return True
        keys = [key for key, total in sums.items() if key is not None and total != 0.0]
        mapped = [sums[key] * mask for key in keys if (mask := masks[key]) is not None]
        if not mapped or len(mapped) < len(keys) or not _fit_each_other(mapped):
            return False
        return bool((sum(mapped[1:], mapped[0]) + sums.get(None, 0.0)).abs().max() <= CANCELLED_MAP * scale)


def _fit_each_other(masks: Sequence[Tensor]) -> bool:
    """True if the masks have one height and width, and batch sizes that broadcast."""
    if len({mask.shape[-2:] for mask in masks}) > 1:
        return False
    return len({mask.shape[:-2].numel() for mask in masks} - {1}) <= 1


@dataclass(frozen=True, eq=False)
class Plan:
    """A compiled graph.

    Attributes:
        models: the distinct models, the base model first.
        predictions: the distinct predictions, the base prediction first.
        sides: for every term, the indices of its positive and its reference prediction.
        primary: the first term that is D_base(c) - D_base, the pair that ComfyUI's cfg hooks receive; or None.
        _required, _coverages: cached results of ``required`` and ``expected_coverage``.
    """

    graph: GuidanceGraph
    models: tuple[object, ...]
    predictions: tuple[Prediction, ...]
    sides: tuple[tuple[int, int], ...]
    primary: int | None
    _required: dict[tuple[object, ...], frozenset[int]] = field(default_factory=dict, repr=False)
    _coverages: dict[tuple[bool, ...], Coverage] = field(default_factory=dict, repr=False)

    @property
    def terms(self) -> tuple[GuidanceTerm, ...]:
        return self.graph.terms

    def for_one_run(self) -> Plan:
        """Return the same plan with empty caches, so that nothing is kept of other runs."""
        return replace(self, _required={}, _coverages={})

    def reach(self, i: int) -> Reach:
        """Return where term i can act: in its window, and where the conditions of both its sides are in force."""
        return intersection([self.predictions[side].reach for side in self.sides[i]]).within(self.terms[i].window)

    def expected_coverage(self, is_active: Callable[[Reach], bool] = lambda reach: True) -> Coverage:
        """Return where the predictions exist, as far as this is known before a run.

        Args:
            is_active: whether a condition of this reach is in force; default all are.
        """
        active = tuple(is_active(prediction.reach) for prediction in self.predictions)
        if active not in self._coverages:
            covers = [
                0.0 if not on else 1.0 if prediction.reach.is_everywhere else UNKNOWN
                for on, prediction in zip(active, self.predictions, strict=True)
            ]
            self._coverages[active] = Coverage(covers, self.sides, [term.mask for term in self.terms])
        return self._coverages[active]

    def acting(self, i: int) -> list[Modifier]:
        """Return the modifiers of term i that change something in this graph."""
        return [modifier for modifier in self.terms[i].modifiers if modifier.acts(i, self.primary)]

    def needed_differences(self, weights: Sequence[float]) -> frozenset[int]:
        """Return the active terms whose difference is read as a whole, by their own modifiers or by another term's.

        Both of their sides must be evaluated whatever their coefficients.
        """
        active = [i for i, weight in enumerate(weights) if weight != 0.0]
        needed: set[int] = set()
        for i in active:
            for modifier in self.acting(i):
                needed |= ({i} if modifier.needs_difference else set()) | modifier.reads(i, self.primary, active)
        return frozenset(needed)

    def rescale_target(self, weights: Sequence[float]) -> int | None:
        """Return the prediction that sets the standard deviation for rescale: the first active term's positive side."""
        if self.graph.rescale == 0.0:
            return None
        return next((self.sides[i][0] for i, weight in enumerate(weights) if weight != 0.0), None)

    def coefficients(
        self, weights: Sequence[float], mapped: frozenset[int], exact: frozenset[int] = frozenset()
    ) -> list[Coefficient]:
        """Return a_j of every prediction.

        Args:
            mapped: terms whose weight is a map.
            exact: terms to leave out, because their differences are added whole.
        """
        coefficients = [Coefficient() for _ in self.predictions]
        coefficients[BASE].add(1.0)
        for i, (weight, (positive, reference)) in enumerate(zip(weights, self.sides, strict=True)):
            if weight != 0.0 and i not in exact:
                mask = i if i in mapped else None
                coefficients[positive].add(weight, mask)
                coefficients[reference].add(-weight, mask)
        return coefficients

    def required(
        self,
        weights: Sequence[float],
        coverage: Coverage | None = None,
        *,
        reused: frozenset[int] = frozenset(),
        kept: frozenset[int] = frozenset(),
    ) -> frozenset[int]:
        """Return the predictions that one call must evaluate.

        Args:
            weights: each term's weight in this call, 0 where it does not act.
            coverage: where predictions and terms exist; default ``expected_coverage``.
            reused: terms that reuse their stored difference.
            kept: predictions to evaluate whatever their coefficient (hooks that want a real pair).
        """
        coverage = self.expected_coverage() if coverage is None else coverage
        key = (tuple(weights), reused, kept, coverage)
        if key not in self._required:
            self._required[key] = self._find_required(weights, coverage, reused, kept)
        return self._required[key]

    def _find_required(
        self, weights: Sequence[float], coverage: Coverage, reused: frozenset[int], kept: frozenset[int]
    ) -> frozenset[int]:
        needed = self.needed_differences(weights)
        alive = set(kept)
        for i in needed - reused:
            alive.update(self.sides[i])
        if (target := self.rescale_target(weights)) is not None:  # outside its cover the target is the base
            alive.update({target, BASE} if target in coverage.partial else {target})
        coefficients = self.coefficients(weights, coverage.mapped, needed | reused)
        alive.update(j for j, coefficient in enumerate(coefficients) if not coefficient.is_zero(coverage.masks))
        return frozenset(alive or {BASE})  # coefficients that all count as rounding: the base gives the shape


def compile_plan(
    graph: GuidanceGraph,
    same_model: Callable[[object, object], bool] = lambda first, second: first is second,
    reach_of: Callable[[object], Reach] = lambda condition: WHOLE,
) -> Plan:
    """Compile a graph: find its distinct models (by ``same_model``) and predictions (a model and one condition object).

    Args:
        reach_of: returns where a condition is in force.
    """
    models: list[object] = [graph.base.model]
    predictions: list[Prediction] = [Prediction(BASE, graph.base.condition, reach_of(graph.base.condition))]

    def model_index(model: object | None) -> int:
        if model is None:
            return BASE
        for index, known in enumerate(models):
            if known is model or same_model(known, model):
                return index
        models.append(model)
        return len(models) - 1

    def prediction_index(side: Side) -> int:
        model = model_index(side.model)
        condition = graph.base.condition if side.condition is None else side.condition
        for index, known in enumerate(predictions):
            if known.model == model and known.condition is condition:
                return index
        predictions.append(Prediction(model, condition, reach_of(condition)))
        return len(predictions) - 1

    sides = tuple((prediction_index(term.positive), prediction_index(term.reference)) for term in graph.terms)
    primary = next(
        (
            i
            for i, (positive, reference) in enumerate(sides)
            if reference == BASE and positive != BASE and predictions[positive].model == BASE
        ),
        None,
    )
    return Plan(graph, tuple(models), tuple(predictions), sides, primary)
