"""The guidance graph: the predictions that the user wants mixed, before it is compiled.

    D(x) = D_base + sum_i w_i(sigma) * M_i * (D(x; m_i, c_i) - D(x; r_i, d_i))

Generalized Classifier-Free Guidance, arXiv 2312.08195, written in denoised (x0) space.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import SupportsFloat

from torch import Tensor

from .curves import CONSTANT, Constant, Curve, Keyframes
from .modifiers import Modifier
from .sampling_progress import ALWAYS, SamplingProgress, Window

PAPER_WEIGHT = 2.5  # of concept and of control in arXiv 2312.08195; what the product gives a term without another


@dataclass(frozen=True, eq=False)
class Side:
    """One prediction D(x; model, condition). None stands for the base's model or the base's condition."""

    model: object | None = None
    condition: object | None = None


BASE_SIDE = Side()


@dataclass(frozen=True, eq=False)
class GuidanceTerm:
    """w(sigma) * M * (D_positive - D_reference).

    ``weight`` may have any sign and 0 is neutral; ``curve`` multiplies it; ``mask`` is [H, W] or [N, H, W], 0 to 1;
    ``modifiers`` act on the difference in their order.
    """

    positive: Side = BASE_SIDE
    reference: Side = BASE_SIDE
    weight: float = 1.0
    window: Window = ALWAYS
    curve: Curve = CONSTANT
    mask: Tensor | None = None
    modifiers: tuple[Modifier, ...] = ()
    label: str = ""

    def __post_init__(self) -> None:
        if self.mask is not None and self.mask.ndim not in (2, 3):
            raise ValueError(
                f"mask: expected [H, W] or [N, H, W], got {list(self.mask.shape)}; connect a MASK, not an image."
            )

    def with_modifiers(self, *modifiers: Modifier) -> GuidanceTerm:
        return replace(self, modifiers=modifiers)

    @property
    def is_fixed(self) -> bool:
        """True if the weight does not depend on sigma."""
        return self.window.is_whole and isinstance(self.curve, Constant)

    def weight_at(self, sigma: SupportsFloat, progress: SamplingProgress) -> float:
        """Return weight * curve inside the window, 0 outside; ``sigma`` is read only if the result depends on it."""
        if self.is_fixed:
            return self.weight
        level = float(sigma)
        if not progress.is_active(self.window, level):
            return 0.0
        if isinstance(self.curve, Constant):
            return self.weight
        return self.weight * self.curve(self.window.position(progress.percent(level)))

    def may_reuse(self, age: int) -> bool:
        """True if a difference that was evaluated ``age`` guider calls ago may replace this call's."""
        return any(modifier.may_reuse(age) for modifier in self.modifiers)

    def weight_profile(self, steps: int = 64) -> list[tuple[float, float]]:
        """Return the weight over sampling, as the corners of a line to draw.

        Returns:
            (percent, weight) from percent 0 to 1. Outside the window the weight is 0; at its edges two points share a
            percent. Inside it the points are ``steps`` even parts and every keyframe.
        """
        window, curve = self.window, self.curve
        if window.end <= window.start:
            return [(0.0, 0.0), (1.0, 0.0)]
        positions = {0.0, 1.0} if isinstance(curve, Constant) else {step / steps for step in range(steps + 1)}
        if isinstance(curve, Keyframes):
            positions.update(position for position, _ in curve.points)
        width = window.end - window.start
        inside = [(window.start + width * position, self.weight * curve(position)) for position in sorted(positions)]
        before = [(0.0, 0.0), (window.start, 0.0)] if window.start > 0.0 else []
        after = [(window.end, 0.0), (1.0, 0.0)] if window.end < 1.0 else []
        return [*before, *inside, *after]


def names_of(terms: Sequence[GuidanceTerm]) -> tuple[str, ...]:
    """Return each term's label, or 'term 1', 'term 2' ..."""
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
