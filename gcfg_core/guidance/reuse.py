"""Differences in denoised space, stored in one guider call and reused in later calls (Refresh)."""

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
    """A term's difference, evaluated at guider call number ``call``.

    Attributes:
        difference: before modifiers; None until it is evaluated, and if calls are only counted.
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
        """True if the difference has this latent shape, or if shape is None because calls are only counted."""
        return shape is None or (self.difference is not None and self.difference.shape == shape)


@dataclass
class DifferenceStore:
    """The stored differences of one sampling run.

    All are dropped when sigma rises (a new pass began), or when the conditions in force change.
    """

    terms: Sequence[GuidanceTerm]
    call: int = -1
    sigma: float = float("inf")
    coverage: Coverage | None = None
    stored: dict[int, StoredDifference] = field(default_factory=dict)

    def begin(
        self, weights: Sequence[float], sigma: SupportsFloat, coverage: Coverage, shape: torch.Size | None
    ) -> dict[int, StoredDifference]:
        """Begin a guider call: return the active terms' stored differences that are recent enough and of this shape.

        The other active terms that may reuse theirs later are recorded as evaluated in this call.
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
        """End a guider call: store the newly evaluated (difference, own positive)."""
        for i, (difference, positive) in computed.items():
            self.stored[i] = StoredDifference(self.call, difference, positive)
