"""The arithmetic of one guider call: from predictions to the guided result, in denoised space.

    D = D_base + sum_i w_i * M_i * C_i * (D_positive_i - D_reference_i)          (GCFG, arXiv 2312.08195)

Term by term in chain order after the primary term, so that a single term is classifier-free guidance to the bit. A
prediction that the plan skipped has a zero coefficient: taking it as zero everywhere changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .coverage import Coverage
from .modifiers import cap_norm, project_away
from .plan import BASE, Plan
from .refresh import StoredDifference

Guide = Callable[[Tensor, Tensor, float], Tensor]


def classifier_free_guidance(cond: Tensor, uncond: Tensor, weight: float) -> Tensor:
    """uncond + (cond - uncond) * weight (arXiv 2207.12598, in denoised space)."""
    return uncond + (cond - uncond) * weight


@dataclass(frozen=True, eq=False)
class Combined:
    """What one guider call computed.

    Attributes:
        result: [B, ...] the guided prediction, before rescale.
        differences: per active term its difference before modifiers; terms with a skipped side are missing.
        added: of the same terms, what each adds to the base: weight * mask * modified difference.
        computed: term -> (difference, own positive) of the terms that may be stored for reuse.
    """

    result: Tensor
    differences: dict[int, Tensor]
    added: dict[int, Tensor]
    computed: dict[int, tuple[Tensor, Tensor | None]]


@dataclass(frozen=True, eq=False)
class Call:
    """The inputs of one guider call.

    Attributes:
        weights: each term's weight, 0 where it does not act.
        predictions: prediction index -> denoised [B, C, ...], at least those of ``plan.required``; ``filled``.
        coverage: where predictions and terms exist, and the terms' masks at latent size.
        reused: stored differences that replace the term's own (refresh).
        pair: (cond, uncond) as hooks left them: the primary term's, or where no primary acts the base on both sides.
        pair_weight: the weight that belongs to ``pair`` where the primary term's own is 0.
        pair_is_primary: ``pair`` is the primary term's.
    """

    plan: Plan
    weights: Sequence[float]
    predictions: Mapping[int, Tensor]
    coverage: Coverage
    reused: Mapping[int, StoredDifference]
    pair: tuple[Tensor, Tensor] | None = None
    pair_weight: float = 1.0
    pair_is_primary: bool = False

    @property
    def active(self) -> list[int]:
        return [i for i, weight in enumerate(self.weights) if weight != 0.0]

    def prediction(self, j: int) -> Tensor:
        found = self.predictions.get(j)
        if found is not None:
            return found
        others = [*self.predictions.values(), *(self.pair or ())]
        return torch.zeros_like(others[0])

    def raw_difference(self, i: int) -> Tensor:
        positive, reference = self.plan.sides[i]
        return self.prediction(positive) - self.prediction(reference)

    def difference(self, i: int) -> Tensor:
        """Term i's difference before modifiers, zero where one of its sides does not exist."""
        if i == self.plan.primary and self.pair is not None:
            return self.coverage.inside(i, self.pair[0] - self.pair[1])
        return self.coverage.inside(i, self.reused[i].difference if i in self.reused else self.raw_difference(i))

    def own_positive(self, i: int) -> Tensor | None:
        return self.reused[i].positive if i in self.reused else self.predictions.get(self.plan.sides[i][0])

    def is_whole(self, i: int) -> bool:
        """True where both sides of term i are at hand, so that its difference is the true one."""
        return i in self.reused or all(j in self.predictions for j in self.plan.sides[i])

    def weighted(self, i: int, difference: Tensor) -> Tensor:
        mask = self.coverage.masks[i]
        return difference * self.weights[i] if mask is None else difference * self.weights[i] * mask


def combine(call: Call, guide: Guide = classifier_free_guidance) -> Combined:
    """Mix the predictions of one call; ``guide`` turns the primary term's pair and weight into one prediction."""
    plan, active = call.plan, call.active
    differences = {i: call.difference(i) for i in active}
    modified = {i: _modify(call, i, differences) for i in active}
    added = {i: call.weighted(i, modified[i]) for i in active}

    result = call.prediction(BASE)
    primary = plan.primary if plan.primary in active else None
    if primary is not None:
        result = _primary_result(call, primary, differences[primary], modified[primary], guide)
    elif call.pair is not None:
        guided = guide(*call.pair, call.pair_weight)
        result = _inside_mask(call, plan.primary, guided) if call.pair_is_primary else guided
    for i in active:
        if i != primary:
            result = result + added[i]

    whole = [i for i in active if call.is_whole(i)]
    refreshing = [i for i in whole if i not in call.reused and plan.terms[i].modifiers.refresh > 1]
    return Combined(
        result=result,
        differences={i: differences[i] for i in whole},
        added={i: added[i] for i in whole},
        computed={i: (call.raw_difference(i), call.own_positive(i)) for i in refreshing},
    )


def _primary_result(call: Call, primary: int, difference: Tensor, modified: Tensor, guide: Guide) -> Tensor:
    """The primary term's guided prediction, from its real pair unless a modifier or a reuse replaced the difference."""
    base = call.prediction(BASE)
    cond, uncond = call.pair or (call.prediction(call.plan.sides[primary][0]), base)
    is_reused = call.pair is None and primary in call.reused
    if is_reused or modified is not difference:
        cond = uncond + modified
    return _inside_mask(call, primary, guide(cond, uncond, call.weights[primary]))


def _inside_mask(call: Call, primary: int | None, guided: Tensor) -> Tensor:
    """The guided prediction inside the primary term's mask, the base prediction outside."""
    base, mask = call.prediction(BASE), None if primary is None else call.coverage.masks[primary]
    return guided if mask is None else base + (guided - base) * mask


def _modify(call: Call, i: int, differences: Mapping[int, Tensor]) -> Tensor:
    """Term i's difference after norm cap and projection, in APG's order; the same tensor where neither applies."""
    modifiers, difference = call.plan.terms[i].modifiers, differences[i]
    if modifiers.norm_cap > 0.0:
        difference = cap_norm(difference, modifiers.norm_cap)
    if call.plan.is_projected(i) and (direction := _direction(call, i, differences)) is not None:
        difference = project_away(difference, call.coverage.inside(i, direction), modifiers.parallel)
    return difference


def _direction(call: Call, i: int, differences: Mapping[int, Tensor]) -> Tensor | None:
    """What term i is projected away from, or None where that direction does not act in this call."""
    projection, primary = call.plan.terms[i].modifiers.projection, call.plan.primary
    if projection == "own positive":
        return call.own_positive(i)
    if projection == "primary term":
        return None if primary is None else differences.get(primary)
    others = [call.weighted(j, other) for j, other in differences.items() if j != i]
    return sum(others[1:], others[0]) if others else None
