"""Differences in denoised space that are kept from one guider call to later ones (Refresh)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import SupportsFloat

import torch
from torch import Tensor

from .coverage import Coverage
from .graph import GuidanceTerm


@dataclass(frozen=True, eq=False)
class StoredDifference:
    """What a term evaluated at guider call number ``call``.

    Attributes:
        difference: before modifiers; None until it is evaluated, and where calls are only counted.
        positive: the term's positive prediction, which a projection may need.
    """

    call: int
    difference: Tensor | None = None
    positive: Tensor | None = None

    @property
    def tensor(self) -> Tensor:
        assert self.difference is not None
        return self.difference

    def fits(self, shape: torch.Size | None) -> bool:
        """Whether it can stand in a latent of this shape; None where calls are only counted."""
        return shape is None or (self.difference is not None and self.difference.shape == shape)


@dataclass
class DifferenceStore:
    """The stored differences of one sampling run. Everything is dropped when sigma rises (a new pass began), or when
    other conditions are in force than before."""

    terms: Sequence[GuidanceTerm]
    call: int = -1
    sigma: float = float("inf")
    coverage: Coverage | None = None
    stored: dict[int, StoredDifference] = field(default_factory=dict)

    def begin(
        self, weights: Sequence[float], sigma: SupportsFloat, coverage: Coverage, shape: torch.Size | None
    ) -> dict[int, StoredDifference]:
        """Begin a guider call: the active terms whose stored difference is fresh enough and of this latent's shape.

        The other active terms are noted as evaluated in this call, if theirs may be used again.
        """
        reusing = [i for i, term in enumerate(self.terms) if term.may_reuse(1)]
        if not reusing:
            return {}
        level = float(sigma)
        if level > self.sigma or coverage is not self.coverage:
            self.stored.clear()
        self.call, self.sigma, self.coverage = self.call + 1, level, coverage
        active = [i for i in reusing if weights[i] != 0.0]
        reused = {i: self.stored[i] for i in active if self._is_fresh(i, shape)}
        self.stored |= {i: StoredDifference(self.call) for i in active if i not in reused}
        return reused

    def _is_fresh(self, i: int, shape: torch.Size | None) -> bool:
        kept = self.stored.get(i)
        return kept is not None and self.terms[i].may_reuse(self.call - kept.call) and kept.fits(shape)

    def keep(self, computed: Mapping[int, tuple[Tensor, Tensor | None]]) -> None:
        """End a guider call: keep the newly evaluated (difference, own positive)."""
        for i, (difference, positive) in computed.items():
            self.stored[i] = StoredDifference(self.call, difference, positive)
