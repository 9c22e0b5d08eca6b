"""Random numbers without state: a generator for every place in a run, the same however the run got there.

Nothing depends on what was drawn before, so a resumed run goes on to the bit, and two processes that share a batch draw
what one process with the whole batch draws.
"""

import hashlib
from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor

T = TypeVar("T")


def seed_of(*place: int | str) -> int:
    """A 63 bit seed for a place such as (run seed, "noise", step, slot)."""
    digest = hashlib.sha256("/".join(map(str, place)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(*place: int | str) -> torch.Generator:
    """A CPU generator for a place; draw on the CPU and move, so that every device gets the same numbers."""
    return torch.Generator().manual_seed(seed_of(*place))


def normal(shape: tuple[int, ...], *place: int | str) -> Tensor:
    """Standard normal numbers, float32 on the CPU."""
    return torch.randn(shape, generator=generator(*place))


def one_of(values: Sequence[T], *place: int | str) -> T:
    """One of some values, each as likely."""
    return values[seed_of(*place) % len(values)]


def uniform(*place: int | str) -> float:
    """One number from 0 (included) to 1 (excluded)."""
    return float(torch.rand((), generator=generator(*place), dtype=torch.float64))
