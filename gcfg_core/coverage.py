"""Coverage: where the predictions of a graph exist in one call, and so where its terms act.

    D = D_base + sum_i w_i * M_i * C_i * (D_positive_i - D_reference_i),    C_i = C_positive_i * C_reference_i

C_j is 1 where the condition of prediction j is in force and 0 elsewhere: there is no prediction to compare there,
though a host may give zeros. A term rests where either of its sides is not in force.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import torch
from torch import Tensor

Cover: TypeAlias = float | Tensor
"""1.0 everywhere, 0.0 nowhere, or a map [B or 1, 1, ...] of zeros and ones."""


class Coverage:
    """The covers of one call, and of all calls in which the same conditions are in force.

    Attributes:
        predictions: each prediction's cover.
        partial: the predictions that exist in a part of the picture.
        terms: each term's cover.
        masks: mask times cover of each term, None where that is 1 everywhere.
    """

    def __init__(
        self, predictions: Sequence[Cover], sides: Sequence[tuple[int, int]], masks: Sequence[Tensor | None]
    ) -> None:
        """
        Args:
            predictions: each prediction's cover.
            sides: for every term, the indices of its positive and its reference prediction.
            masks: each term's own mask at latent size, or None.
        """
        self.predictions = tuple(predictions)
        self.partial = frozenset(j for j, cover in enumerate(predictions) if isinstance(cover, Tensor))
        self.terms = tuple(_product(predictions[positive], predictions[reference]) for positive, reference in sides)
        self.masks = tuple(_mask(mask, cover) for mask, cover in zip(masks, self.terms, strict=True))

    def rests(self, i: int) -> bool:
        """Whether term i acts nowhere."""
        return is_nowhere(self.terms[i])

    def weights(self, weights: Sequence[float]) -> tuple[float, ...]:
        """Each term's weight, 0 where it rests."""
        return tuple(0.0 if self.rests(i) else weight for i, weight in enumerate(weights))

    def inside(self, i: int, difference: Tensor) -> Tensor:
        """Term i's difference [B, ...], zero outside its cover."""
        cover = self.terms[i]
        return difference * cover if isinstance(cover, Tensor) else difference

    def filled(self, predictions: Mapping[int, Tensor], base: int) -> dict[int, Tensor]:
        """Predictions [B, ...] with the base prediction where they do not exist, so that each can be looked at as a
        whole; unchanged where the base prediction was not evaluated."""
        filled = dict(predictions)
        for j in self.partial & filled.keys() if base in filled else ():
            filled[j] = torch.where(torch.as_tensor(self.predictions[j]) > 0, filled[j], filled[base])
        return filled


def is_nowhere(cover: Cover) -> bool:
    return not isinstance(cover, Tensor) and cover == 0.0


def _product(one: Cover, other: Cover) -> Cover:
    both = one * other
    return 0.0 if isinstance(both, Tensor) and not bool(both.any()) else both


def _mask(mask: Tensor | None, cover: Cover) -> Tensor | None:
    if not isinstance(cover, Tensor):
        return mask
    return cover if mask is None else mask * cover
