"""How large what the terms add is, and how much of it points the same way: per sample, one matrix product a call."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Samples = tuple[float, ...]
"""One number for each sample of the batch; nan where it is not defined."""


def root_mean_squares(vectors: Sequence[Tensor]) -> Tensor:
    """sqrt(mean v^2) of n tensors [B, ...], per sample: [B, n], in float32."""
    flat = _flat(vectors)
    return flat.norm(dim=2) / flat.shape[2] ** 0.5


def inner_products(vectors: Sequence[Tensor]) -> Tensor:
    """Mean of v_i * v_j of n tensors [B, ...], per sample: [B, n, n], in float32."""
    flat = _flat(vectors)
    return flat @ flat.transpose(1, 2) / flat.shape[2]


def _flat(vectors: Sequence[Tensor]) -> Tensor:
    """[B, n, D]."""
    return torch.stack([vector.flatten(1).float() for vector in vectors], dim=1)


@dataclass(frozen=True)
class Alignment:
    """The inner products of some vectors, read on the CPU.

    Attributes:
        products: per sample the matrix of ``inner_products``.
    """

    products: list[list[list[float]]]

    def size(self, i: int) -> Samples:
        """Root mean square of vector i."""
        return tuple(math.sqrt(max(sample[i][i], 0.0)) for sample in self.products)

    def cosine(self, i: int, j: int) -> Samples:
        """Cosine of vectors i and j, nan where one of them is zero."""
        return tuple(_cosine(sample[i][j], sample[i][i], sample[j][j]) for sample in self.products)


def _cosine(product: float, one: float, other: float) -> float:
    length = math.sqrt(max(one, 0.0)) * math.sqrt(max(other, 0.0))
    return min(max(product / length, -1.0), 1.0) if length > 0.0 else math.nan
