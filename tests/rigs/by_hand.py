"""Guidance graphs worked out by hand, in float64, from predictions that were made one by one."""

from collections.abc import Callable

import torch
from torch import Tensor

from rigs.random_graphs import RandomTerm

Side = tuple[int, int]
BASE: Side = (0, 0)
FULL = torch.ones(1, 1, 1, 1, dtype=torch.float64)


def fitted(mask: Tensor | None, size: tuple[int, int]) -> Tensor:
    """A mask [H, W] or [N, H, W] as a float64 map [N, 1, h, w]."""
    if mask is None:
        return FULL
    mask = mask.reshape(-1, 1, *mask.shape[-2:])
    if mask.shape[-2:] != size:
        mask = torch.nn.functional.interpolate(mask, size=size, mode="bilinear")
    return mask.double()


def coefficients(terms: list[RandomTerm], weights: list[float], size: tuple[int, int]) -> dict[Side, Tensor]:
    """a_j of every prediction that takes part, as maps; those that vanish everywhere are left out."""
    total: dict[Side, Tensor] = {BASE: FULL.clone()}
    scale: dict[Side, float] = {BASE: 1.0}
    for term, weight in zip(terms, weights, strict=True):
        mask = fitted(term.mask, size)
        for side, sign in ((term.side("positive"), 1), (term.side("reference"), -1)):
            total[side] = total.get(side, 0 * FULL) + sign * weight * mask
            scale[side] = scale.get(side, 0.0) + abs(weight)
    return {side: a for side, a in total.items() if a.abs().max() > 1e-6 * scale[side]}


def linear_sum(a: dict[Side, Tensor], predict: Callable[[Side], Tensor]) -> tuple[Tensor, float]:
    """sum_j a_j D_j, and sum_j |a_j| |D_j| for scale."""
    result, scale = torch.zeros(1, dtype=torch.float64), 0.0
    for side, coefficient in a.items():
        d = predict(side).double()
        result = result + coefficient * d
        scale += float((coefficient.abs() * d).norm())
    return result, scale
