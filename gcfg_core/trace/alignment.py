"""Sizes of the terms' parts in the sum, and the cosines between them: per sample, one matrix product per call."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Samples = tuple[float, ...]
"""One number for each sample of the batch; nan where it is not defined."""


def root_mean_squares(vectors: Sequence[Tensor]) -> Tensor:
    """Return sqrt(mean v^2) of n tensors [B, ...], per sample: [B, n], in float32."""
    flat = _flat(vectors)
    return flat.norm(dim=2) / flat.shape[2] ** 0.5


def inner_products(vectors: Sequence[Tensor]) -> Tensor:
    """Return the mean of v_i * v_j of n tensors [B, ...], per sample: [B, n, n], in float32."""
    flat = _flat(vectors)
    return flat @ flat.transpose(1, 2) / flat.shape[2]


def _flat(vectors: Sequence[Tensor]) -> Tensor:
    """Flatten n tensors [B, ...] and stack them: [B, n, D]."""
    return torch.stack([vector.flatten(1).float() for vector in vectors], dim=1)


@dataclass(frozen=True)
class Alignment:
    """The inner products of several vectors, on the CPU.

    Attributes:
        products: per sample the matrix of ``inner_products``.
    """

    products: list[list[list[float]]]

    def size(self, i: int) -> Samples:
        """Return the root mean square of vector i."""
        return tuple(math.sqrt(max(sample[i][i], 0.0)) for sample in self.products)

    def cosine(self, i: int, j: int) -> Samples:
        """Return the cosine of vectors i and j, nan if either is zero."""
        return tuple(_cosine(sample[i][j], sample[i][i], sample[j][j]) for sample in self.products)


def _cosine(product: float, first: float, second: float) -> float:
    length = math.sqrt(max(first, 0.0)) * math.sqrt(max(second, 0.0))
    return min(max(product / length, -1.0), 1.0) if length > 0.0 else math.nan
