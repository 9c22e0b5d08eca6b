"""The arithmetic of one guider call: from predictions to the guided result, in denoised space.

    D = D_base + sum_i w_i * M_i * C_i * (D_positive_i - D_reference_i)          (GCFG, arXiv 2312.08195)

The terms are added in chain order after the primary term, so that a single term is classifier-free guidance to the bit.
A prediction that was not evaluated has a zero coefficient, so using zero for it changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor

from .coverage import Coverage
from .parameterization import denoised_to_v, denoised_to_velocity, v_to_denoised, velocity_to_denoised
from .plan import BASE, Plan
from .reuse import StoredDifference

Guide = Callable[[Tensor, Tensor, float], Tensor]


def classifier_free_guidance(cond: Tensor, uncond: Tensor, weight: float) -> Tensor:
    """uncond + (cond - uncond) * weight (arXiv 2207.12598, in denoised space)."""
    return uncond + (cond - uncond) * weight


@dataclass(frozen=True, eq=False)
class Combined:
    """The results of one guider call.

    Attributes:
        result: [B, ...] the guided prediction, before rescale.
        differences: per active term its difference before modifiers, if both its sides were evaluated.
        added: for the same terms, weight * mask * modified difference: what the sum gains from each.
        computed: term -> (difference, own positive) of the terms that may be stored for reuse.
    """

    result: Tensor
    differences: dict[int, Tensor]
    added: dict[int, Tensor]
    computed: dict[int, tuple[Tensor, Tensor | None]]


@dataclass(frozen=True, eq=False)
class Call:
    """One guider call: the decisions before any evaluation, then the predictions.

    Attributes:
        weights: each term's weight, 0 where it does not act.
        coverage: where predictions and terms exist, and the terms' masks at latent size.
        reused: stored differences that replace the term's own.
        sees_primary: hooks receive the primary term's pair; otherwise the base prediction on both sides.
        required: the predictions to evaluate.
        predictions: prediction index -> denoised [B, C, ...], at least the required ones, as in ``Coverage.filled``.
        pair: (cond, uncond) after the hooks: the primary term's, or without an active primary term the base twice.
    """

    plan: Plan
    weights: Sequence[float]
    coverage: Coverage
    reused: Mapping[int, StoredDifference] = field(default_factory=dict)
    sees_primary: bool = False
    required: frozenset[int] = frozenset()
    predictions: Mapping[int, Tensor] = field(default_factory=dict)
    pair: tuple[Tensor, Tensor] | None = None

    def with_predictions(self, predictions: Mapping[int, Tensor], pair: tuple[Tensor, Tensor] | None = None) -> Call:
        """Return the call after its evaluations; ``predictions`` are as the models returned them."""
        return replace(self, predictions=self.coverage.filled(predictions, BASE), pair=pair)

    @property
    def active(self) -> list[int]:
        return [i for i, weight in enumerate(self.weights) if weight != 0.0]

    @property
    def hook_weight(self) -> float:
        """The weight that belongs to the pair that hooks receive."""
        primary = self.plan.primary
        return self.weights[primary] if self.sees_primary and primary is not None else 1.0

    def prediction(self, j: int) -> Tensor:
        prediction = self.predictions.get(j)
        if prediction is not None:
            return prediction
        others = [*self.predictions.values(), *(self.pair or ())]
        return torch.zeros_like(others[0])

    def raw_difference(self, i: int) -> Tensor:
        positive, reference = self.plan.sides[i]
        return self.prediction(positive) - self.prediction(reference)

    @property
    def differences(self) -> Mapping[int, Tensor]:
        """Each active term's difference before modifiers, zero where one of its sides does not exist."""
        return self._differences

    @cached_property
    def _differences(self) -> dict[int, Tensor]:
        return {i: self._difference(i) for i in self.active}

    def _difference(self, i: int) -> Tensor:
        if i == self.plan.primary and self.pair is not None:
            return self.inside(i, self.pair[0] - self.pair[1])
        return self.inside(i, self.reused[i].tensor if i in self.reused else self.raw_difference(i))

    def inside(self, i: int, difference: Tensor) -> Tensor:
        """Return the difference where term i's conditions are in force, and zero elsewhere."""
        return self.coverage.inside(i, difference)

    def own_positive(self, i: int) -> Tensor | None:
        return self.reused[i].positive if i in self.reused else self.predictions.get(self.plan.sides[i][0])

    def is_whole(self, i: int) -> bool:
        """True if both sides of term i were evaluated, so that its difference is exact."""
        return i in self.reused or all(j in self.predictions for j in self.plan.sides[i])

    def weighted(self, i: int, difference: Tensor) -> Tensor:
        mask = self.coverage.masks[i]
        return difference * self.weights[i] if mask is None else difference * self.weights[i] * mask


def combine(call: Call, guide: Guide = classifier_free_guidance) -> Combined:
    """Mix the predictions of one call; ``guide`` turns the primary term's pair and weight into one prediction."""
    plan, active = call.plan, call.active
    differences = call.differences
    modified = {i: _modified(call, i) for i in active}
    added = {i: call.weighted(i, modified[i]) for i in active}

    result = call.prediction(BASE)
    primary = plan.primary if plan.primary in active else None
    if primary is not None:
        result = _primary_result(call, primary, differences[primary], modified[primary], guide)
    elif call.pair is not None:
        guided = guide(*call.pair, call.hook_weight)
        result = _inside_mask(call, plan.primary, guided) if call.sees_primary else guided
    for i in active:
        if i != primary:
            result = result + added[i]

    whole = [i for i in active if call.is_whole(i)]
    stored = [i for i in whole if i not in call.reused and plan.terms[i].may_reuse(1)]
    return Combined(
        result=result,
        differences={i: differences[i] for i in whole},
        added={i: added[i] for i in whole},
        computed={i: (call.raw_difference(i), call.own_positive(i)) for i in stored},
    )


def _primary_result(call: Call, primary: int, difference: Tensor, modified: Tensor, guide: Guide) -> Tensor:
    """Return the primary term's guided prediction: from its pair, or from ``modified`` if a modifier or reuse
    changed it."""
    base = call.prediction(BASE)
    cond, uncond = call.pair or (call.prediction(call.plan.sides[primary][0]), base)
    is_reused = call.pair is None and primary in call.reused
    if is_reused or modified is not difference:
        cond = uncond + modified
    return _inside_mask(call, primary, guide(cond, uncond, call.weights[primary]))


def _inside_mask(call: Call, primary: int | None, guided: Tensor) -> Tensor:
    """Return the guided prediction inside the primary term's mask, and the base prediction outside."""
    base, mask = call.prediction(BASE), None if primary is None else call.coverage.masks[primary]
    return guided if mask is None else base + (guided - base) * mask


def _modified(call: Call, i: int) -> Tensor:
    """Return term i's difference after its modifiers, in order; the same tensor if none acts."""
    difference = call.differences[i]
    for modifier in call.plan.acting(i):
        difference = modifier.change(difference, i, call.plan.primary, call)
    return difference


def _std(v: Tensor) -> Tensor:
    """Return the standard deviation of each sample: [B, ...] -> [B, 1, ...]."""
    return v.flatten(1).std(1).view(-1, *[1] * (v.ndim - 1))


def rescale_result(
    x: Tensor, denoised: Tensor, positive: Tensor, sigma: Tensor, share: float, *, flow: bool = False
) -> Tensor:
    """Pull the result's standard deviation towards that of one unguided prediction (arXiv 2305.08891, Eq. 16).

    Deviation from the paper: it has one positive prediction, a graph has several, so the caller picks one. As in the
    paper the standard deviation is that of each prediction's v (for flow models its velocity).

    Args:
        x, denoised, positive: [B, ...]; sigma: [B]; share: phi of the paper, 0 neutral, the paper uses 0.7.
    """
    sigma = sigma.view(-1, *[1] * (x.ndim - 1))
    forward, back = (denoised_to_velocity, velocity_to_denoised) if flow else (denoised_to_v, v_to_denoised)
    guided = forward(x, denoised, sigma)
    rescaled = guided * (_std(forward(x, positive, sigma)) / _std(guided))
    return back(x, share * rescaled + (1.0 - share) * guided, sigma)
