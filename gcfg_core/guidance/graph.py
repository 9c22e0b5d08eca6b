"""The guidance graph: which predictions the user wants mixed, before anything is compiled.

    D(x) = D_base + sum_i w_i(sigma) * M_i * (D(x; m_i, c_i) - D(x; r_i, d_i))

Generalized Classifier-Free Guidance, arXiv 2312.08195, written in denoised (x0) space.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from .curves import CONSTANT, Curve
from .modifiers import NEUTRAL, Modifiers
from .sampling_progress import ALWAYS, Window


@dataclass(frozen=True, eq=False)
class Side:
    """One prediction D(x; model, condition). None stands for the base's model or the base's condition."""

    model: object | None = None
    condition: object | None = None


BASE_SIDE = Side()


@dataclass(frozen=True, eq=False)
class GuidanceTerm:
    """w(sigma) * M * (D_positive - D_reference).

    ``weight`` may have any sign and 0 is neutral; ``curve`` multiplies it; ``mask`` is [H, W] or [N, H, W], 0 to 1.
    """

    positive: Side = BASE_SIDE
    reference: Side = BASE_SIDE
    weight: float = 1.0
    window: Window = ALWAYS
    curve: Curve = CONSTANT
    mask: Tensor | None = None
    modifiers: Modifiers = NEUTRAL
    label: str = ""

    def __post_init__(self) -> None:
        if self.mask is not None and self.mask.ndim not in (2, 3):
            raise ValueError(
                f"mask: expected [H, W] or [N, H, W], got {list(self.mask.shape)}; connect a MASK, not an image."
            )

    def with_modifiers(self, modifiers: Modifiers) -> GuidanceTerm:
        return replace(self, modifiers=modifiers)


def names_of(terms: Sequence[GuidanceTerm]) -> tuple[str, ...]:
    """Each term's label, or 'term 1', 'term 2' ..."""
    return tuple(term.label or f"term {i + 1}" for i, term in enumerate(terms))


@dataclass(frozen=True, eq=False)
class GuidanceGraph:
    """The base side, the chain of terms added to it, and the share of rescale (arXiv 2305.08891) on the result."""

    base: Side
    terms: tuple[GuidanceTerm, ...] = ()
    rescale: float = 0.0

    def __post_init__(self) -> None:
        if self.base.model is None or self.base.condition is None:
            raise ValueError("base: a graph needs a base model and a base condition, got None; connect both.")
        if not 0.0 <= self.rescale <= 1.0:
            raise ValueError(f"rescale: expected a share from 0 (off) to 1, got {self.rescale}.")
