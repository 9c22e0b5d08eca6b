"""Per-term modifiers: what may be done to one term's difference before it is weighted. Reductions are per sample."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

Projection = Literal["off", "own positive", "primary term", "other terms"]
PROJECTIONS: tuple[Projection, ...] = get_args(Projection)


@dataclass(frozen=True)
class Modifiers:
    """How one term's difference is changed.

    Attributes:
        projection: the direction whose parallel part is scaled: the term's own positive prediction (APG, arXiv
            2410.02416), the primary term's difference (Perp-Neg, arXiv 2304.04968) or the weighted sum of the others.
        parallel: share of the parallel part that stays; 0 removes it, 1 is neutral (eta of APG).
        norm_cap: largest L2 norm of a sample's difference, applied before the projection (r of APG); 0 is off.
        refresh: the difference is recomputed every so many guider calls and reused between; 1 is neutral.
    """

    projection: Projection = "off"
    parallel: float = 0.0
    norm_cap: float = 0.0
    refresh: int = 1

    def __post_init__(self) -> None:
        if self.projection not in PROJECTIONS:
            raise ValueError(f"projection: expected one of {', '.join(PROJECTIONS)}, got {self.projection!r}.")
        if self.norm_cap < 0.0:
            raise ValueError(f"norm_cap: expected 0 (off) or a positive norm, got {self.norm_cap}.")
        if self.refresh < 1:
            raise ValueError(f"refresh: expected 1 (every call) or more, got {self.refresh}.")

    @property
    def projects(self) -> bool:
        return self.projection != "off" and self.parallel != 1.0


NEUTRAL = Modifiers()


def _per_sample(product: Tensor) -> Tensor:
    """Sum over everything but the batch: [B, ...] -> [B, 1, ...]."""
    return product.flatten(1).sum(1).view(-1, *[1] * (product.ndim - 1))


def project_away(difference: Tensor, direction: Tensor, parallel: float = 0.0) -> Tensor:
    """Scale the part of ``difference`` parallel to ``direction`` by ``parallel``; both [B, ...], float64 inside.

    d - (1 - parallel) * <d, v> / <v, v> * v, per sample (APG, arXiv 2410.02416, where ``parallel`` is eta; with 0 the
    perpendicular gradient of Perp-Neg, arXiv 2304.04968). Where the direction is zero there is no parallel part.
    """
    dtype = torch.float64 if difference.device.type != "mps" else torch.float32
    d, v = difference.to(dtype), direction.to(dtype)
    length = _per_sample(v * v)
    share = torch.where(length > 0, _per_sample(d * v) / length.clamp_min(torch.finfo(dtype).tiny), 0.0)
    return (d - (1.0 - parallel) * share * v).to(difference.dtype)


def cap_norm(difference: Tensor, cap: float) -> Tensor:
    """Shrink each sample of ``difference`` [B, ...] to an L2 norm of at most ``cap``.

    d * min(1, cap / |d|): the norm threshold r of APG (arXiv 2410.02416).
    """
    norm = _per_sample(difference.float() ** 2).sqrt().clamp_min(torch.finfo(torch.float32).tiny)
    return difference * (cap / norm).clamp_max(1.0).to(difference.dtype)
