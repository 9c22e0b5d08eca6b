"""Modifiers: changes to one term's difference before it is weighted. Reductions are per sample.

A modifier is one object that answers every question of `Modifier`; a missing answer is a TypeError when it is made. A
new modifier is a class here and an input in nodes/modify_term.py.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

import torch
from torch import Tensor

Projection = Literal["off", "own positive", "primary term", "other terms"]
PROJECTIONS: tuple[Projection, ...] = get_args(Projection)


class TermsOfCall(Protocol):
    """The values of a call that a modifier of term i may read; tensors are [B, C, ...]."""

    @property
    def differences(self) -> Mapping[int, Tensor]:
        """Difference of each active term, before modifiers."""
        ...

    def own_positive(self, i: int) -> Tensor | None:
        """Return the term's positive prediction, or None if it was not evaluated."""
        ...

    def weighted(self, i: int, difference: Tensor) -> Tensor:
        """Return a term's difference times its weight and mask."""
        ...

    def inside(self, i: int, difference: Tensor) -> Tensor:
        """Return the difference where the term's conditions are in force, and zero elsewhere."""
        ...


class Modifier(ABC):
    """A change to the difference of a term. ``i``: that term; ``primary``: the graph's primary term, if any."""

    @abstractmethod
    def acts(self, i: int, primary: int | None) -> bool:
        """True if the modifier changes anything in this graph."""

    @property
    @abstractmethod
    def needs_difference(self) -> bool:
        """True if both sides of its term must be evaluated even if a prediction's coefficient is zero."""

    @abstractmethod
    def reads(self, i: int, primary: int | None, active: Collection[int]) -> frozenset[int]:
        """Return the other terms whose differences it reads, among the ``active`` ones."""

    @abstractmethod
    def may_reuse(self, age: int) -> bool:
        """True if a difference that was evaluated ``age`` guider calls ago may replace this call's."""

    @abstractmethod
    def change(self, difference: Tensor, i: int, primary: int | None, call: TermsOfCall) -> Tensor:
        """Return the changed difference [B, C, ...]; the same tensor if nothing changes."""

    @abstractmethod
    def text(self) -> str:
        """Return its text in the formula, before the difference: 'cap[5]'."""


@dataclass(frozen=True)
class NormCap(Modifier):
    """A limit on each sample's difference. ``cap``: its largest L2 norm (r of APG, arXiv 2410.02416); 0 is off."""

    cap: float = 0.0

    def __post_init__(self) -> None:
        if self.cap < 0.0:
            raise ValueError(f"norm_cap: expected 0 (off) or a positive norm, got {self.cap}.")

    def acts(self, i: int, primary: int | None) -> bool:
        return self.cap > 0.0

    @property
    def needs_difference(self) -> bool:
        return True

    def reads(self, i: int, primary: int | None, active: Collection[int]) -> frozenset[int]:
        return frozenset()

    def may_reuse(self, age: int) -> bool:
        return False

    def change(self, difference: Tensor, i: int, primary: int | None, call: TermsOfCall) -> Tensor:
        return cap_norm(difference, self.cap)

    def text(self) -> str:
        return f"cap[{self.cap:.4g}]"


@dataclass(frozen=True)
class Project(Modifier):
    """Scale the part of the difference along a direction.

    Attributes:
        direction: the term's own positive prediction (APG, arXiv 2410.02416), the primary term's difference (Perp-Neg,
            arXiv 2304.04968), the weighted sum of the other terms, or off.
        parallel: factor on the parallel part; 0 removes it, 1 is neutral (eta of APG).
    """

    direction: Projection = "off"
    parallel: float = 0.0

    def __post_init__(self) -> None:
        if self.direction not in PROJECTIONS:
            raise ValueError(f"projection: expected one of {', '.join(PROJECTIONS)}, got {self.direction!r}.")

    @property
    def is_set(self) -> bool:
        return self.direction != "off" and self.parallel != 1.0

    def acts(self, i: int, primary: int | None) -> bool:
        """True if a direction is set; 'primary term' counts only if the graph has a primary term other than term i."""
        return self.is_set and (self.direction != "primary term" or primary not in (None, i))

    @property
    def needs_difference(self) -> bool:
        return True

    def reads(self, i: int, primary: int | None, active: Collection[int]) -> frozenset[int]:
        if self.direction == "primary term":
            return frozenset({primary} & set(active)) if primary is not None else frozenset()
        return frozenset(active) - {i} if self.direction == "other terms" else frozenset()

    def may_reuse(self, age: int) -> bool:
        return False

    def change(self, difference: Tensor, i: int, primary: int | None, call: TermsOfCall) -> Tensor:
        direction = self._direction(i, primary, call)
        if direction is None:
            return difference
        return project_away(difference, call.inside(i, direction), self.parallel)

    def _direction(self, i: int, primary: int | None, call: TermsOfCall) -> Tensor | None:
        """Return the direction for term i, or None if it does not act in this call."""
        if self.direction == "own positive":
            return call.own_positive(i)
        if self.direction == "primary term":
            return None if primary is None else call.differences.get(primary)
        others = [call.weighted(j, other) for j, other in call.differences.items() if j != i]
        return sum(others[1:], others[0]) if others else None

    def text(self) -> str:
        return f"away[{self.direction}, {self.parallel:.4g}]"


@dataclass(frozen=True)
class Refresh(Modifier):
    """Evaluate the difference at every ``every``-th guider call and reuse it in between; 1 is neutral."""

    every: int = 1

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ValueError(f"refresh: expected 1 (every call) or more, got {self.every}.")

    def acts(self, i: int, primary: int | None) -> bool:
        return self.every > 1

    @property
    def needs_difference(self) -> bool:
        return True

    def reads(self, i: int, primary: int | None, active: Collection[int]) -> frozenset[int]:
        return frozenset()

    def may_reuse(self, age: int) -> bool:
        return age < self.every

    def change(self, difference: Tensor, i: int, primary: int | None, call: TermsOfCall) -> Tensor:
        return difference

    def text(self) -> str:
        return f"every[{self.every}]"


def _per_sample(product: Tensor) -> Tensor:
    """Sum over all dimensions but the batch: [B, ...] -> [B, 1, ...]."""
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
