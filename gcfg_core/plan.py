"""From graph to plan: the unique predictions of a graph, and which of them one guider call needs.

    D = sum_j a_j * D(x; m_j, c_j)

``a_j`` collects +1 for the base and every weight in which prediction j takes part. A prediction whose coefficient is
zero in a call is not evaluated; everything else about the arithmetic is left to combine.py.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from .graph import GuidanceGraph, GuidanceTerm, Side

BASE = 0
"""Index of the base prediction, and of the base model."""

CANCELLED = 1e-12
"""A sum of weights this small beside its parts is rounding: 1 - 0.3 - 0.7 counts as zero."""
CANCELLED_MAP = 2.0**-22
"""The same for float32 masks."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """D(x; models[model], condition)."""

    model: int
    condition: object


class Coefficient:
    """a_j: a number plus a number for each mask, a_j = c + sum_k c_k * M_k."""

    def __init__(self) -> None:
        self.parts: dict[int | None, list[float]] = defaultdict(list)

    def add(self, weight: float, mask: int | None = None) -> None:
        self.parts[mask].append(weight)

    def is_zero(self, masks: Sequence[Tensor | None]) -> bool:
        """True where the coefficient vanishes everywhere, ``masks`` being those of the terms; where their sizes differ
        that cannot be told yet, and the answer is False."""
        sums = {}
        for key, weights in self.parts.items():
            total = sum(weights)
            sums[key] = 0.0 if abs(total) <= CANCELLED * sum(map(abs, weights)) else total
        scale = sum(map(abs, sums.values()))
        if scale == 0.0:
            return True
        mapped = [total * mask for key, total in sums.items() if key is not None and (mask := masks[key]) is not None]
        if not mapped or not _fit_each_other(mapped):
            return False
        return bool((sum(mapped[1:], mapped[0]) + sums.get(None, 0.0)).abs().max() <= CANCELLED_MAP * scale)


def _fit_each_other(masks: Sequence[Tensor]) -> bool:
    """One height and width, and counts that broadcast."""
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
        primary: the first term that is D_base(c) - D_base, the pair that ComfyUI's cfg hooks are given; or None.
    """

    graph: GuidanceGraph
    models: tuple[object, ...]
    predictions: tuple[Prediction, ...]
    sides: tuple[tuple[int, int], ...]
    primary: int | None
    _required: dict[tuple[object, ...], frozenset[int]] = field(default_factory=dict, repr=False)

    @property
    def terms(self) -> tuple[GuidanceTerm, ...]:
        return self.graph.terms

    def is_projected(self, i: int) -> bool:
        """Whether term i has a direction to be projected away from; without a primary term beside it there is none."""
        modifiers = self.terms[i].modifiers
        return modifiers.projects and (modifiers.projection != "primary term" or self.primary not in (None, i))

    def _needs_difference(self, i: int) -> bool:
        """True where the difference itself is used, so both sides must be evaluated whatever their coefficients."""
        modifiers = self.terms[i].modifiers
        return self.is_projected(i) or modifiers.norm_cap > 0.0 or modifiers.refresh > 1

    def needed_differences(self, weights: Sequence[float]) -> frozenset[int]:
        """Active terms whose difference itself is used (modifiers), by them or by another term's projection."""
        active = [i for i, weight in enumerate(weights) if weight != 0.0]
        needed = set(filter(self._needs_difference, active))
        for i in filter(self.is_projected, active):
            projection = self.terms[i].modifiers.projection
            if projection == "primary term" and self.primary in active:
                needed.add(self.primary)
            elif projection == "other terms":
                needed.update(active)
        return frozenset(needed)

    def rescale_target(self, weights: Sequence[float]) -> int | None:
        """The prediction whose deviation the result is rescaled to: the first active term's positive side."""
        if self.graph.rescale == 0.0:
            return None
        return next((self.sides[i][0] for i, weight in enumerate(weights) if weight != 0.0), None)

    def coefficients(self, weights: Sequence[float], exact: frozenset[int] = frozenset()) -> list[Coefficient]:
        """a_j of every prediction; terms in ``exact`` are left out, their differences being added as they are."""
        coefficients = [Coefficient() for _ in self.predictions]
        coefficients[BASE].add(1.0)
        for i, (weight, (positive, reference)) in enumerate(zip(weights, self.sides, strict=True)):
            if weight != 0.0 and i not in exact:
                mask = None if self.terms[i].mask is None else i
                coefficients[positive].add(weight, mask)
                coefficients[reference].add(-weight, mask)
        return coefficients

    def required(
        self,
        weights: Sequence[float],
        masks: Sequence[Tensor | None] | None = None,
        *,
        reused: frozenset[int] = frozenset(),
        kept: frozenset[int] = frozenset(),
    ) -> frozenset[int]:
        """The predictions that one call must evaluate.

        Args:
            weights: each term's weight in this call, 0 outside its window.
            masks: each term's mask at latent size, default as given by the user.
            reused: terms whose stored difference is used again (refresh).
            kept: predictions to evaluate whatever their coefficient (hooks that want a real pair).
        """
        masks = [term.mask for term in self.terms] if masks is None else masks
        key = (tuple(weights), reused, kept, tuple(None if mask is None else mask.shape for mask in masks))
        if key not in self._required:
            needed = self.needed_differences(weights)
            alive = set(kept)
            for i in needed - reused:
                alive.update(self.sides[i])
            if (target := self.rescale_target(weights)) is not None:
                alive.add(target)
            coefficients = self.coefficients(weights, needed | reused)
            alive.update(j for j, coefficient in enumerate(coefficients) if not coefficient.is_zero(masks))
            self._required[key] = frozenset(alive)
        return self._required[key]


def compile_plan(
    graph: GuidanceGraph, same_model: Callable[[object, object], bool] = lambda one, other: one is other
) -> Plan:
    """Find the distinct models (by ``same_model``) and predictions (model and the very same condition object)."""
    models: list[object] = [graph.base.model]
    predictions: list[Prediction] = [Prediction(BASE, graph.base.condition)]

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
        predictions.append(Prediction(model, condition))
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
