"""Refresh: a term's difference in denoised space, kept and reused until its k-th guider call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from .coverage import Coverage
from .graph import GuidanceTerm


@dataclass(frozen=True, eq=False)
class StoredDifference:
    """What a term computed at guider call number ``call``: its difference, and the direction its projection needs."""

    call: int
    difference: Tensor
    positive: Tensor | None


@dataclass
class DifferenceStore:
    """The stored differences of one sampling run. Everything is dropped when sigma rises (a new pass began), or when
    other conditions are in force than before."""

    terms: Sequence[GuidanceTerm]
    call: int = -1
    sigma: float = float("inf")
    coverage: Coverage | None = None
    stored: dict[int, StoredDifference] = field(default_factory=dict)

    @property
    def is_used(self) -> bool:
        return any(term.modifiers.refresh > 1 for term in self.terms)

    def reusable(
        self, weights: Sequence[float], sigma: float, shape: torch.Size, coverage: Coverage
    ) -> dict[int, StoredDifference]:
        """Begin a guider call: the active terms whose stored difference is fresh enough and of this latent's shape."""
        if sigma > self.sigma or coverage is not self.coverage:
            self.stored.clear()
        self.call, self.sigma, self.coverage = self.call + 1, sigma, coverage
        return {
            i: kept
            for i, kept in self.stored.items()
            if weights[i] != 0.0
            and self.call - kept.call < self.terms[i].modifiers.refresh
            and kept.difference.shape == shape
        }

    def keep(self, computed: Mapping[int, tuple[Tensor, Tensor | None]]) -> None:
        """End a guider call: store newly computed (difference, own positive) of the terms that reuse theirs."""
        for i, (difference, positive) in computed.items():
            if self.terms[i].modifiers.refresh > 1:
                self.stored[i] = StoredDifference(self.call, difference, positive)
