"""Random numbers from keys: each place in a run (seed, purpose, step, slot) has its own generator.

No number depends on earlier draws. So a resumed run gives the same bits, and two processes that share a batch draw the
same numbers as one process with the whole batch.
"""

import hashlib
from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor

T = TypeVar("T")


def seed_of(*place: int | str) -> int:
    """Return a 63-bit seed for a place, for example (run seed, "noise", step, slot)."""
    digest = hashlib.sha256("/".join(map(str, place)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(*place: int | str) -> torch.Generator:
    """Return the CPU generator of a place. Draw on the CPU and then move, so that every device gets the same
    numbers."""
    return torch.Generator().manual_seed(seed_of(*place))


def normal(shape: tuple[int, ...], *place: int | str) -> Tensor:
    """Draw standard normal numbers, float32 on the CPU."""
    return torch.randn(shape, generator=generator(*place))


def one_of(values: Sequence[T], *place: int | str) -> T:
    """Choose a value, all with equal probability."""
    return values[seed_of(*place) % len(values)]


def uniform(*place: int | str) -> float:
    """Draw a number from 0 (included) to 1 (excluded)."""
    return float(torch.rand((), generator=generator(*place), dtype=torch.float64))
