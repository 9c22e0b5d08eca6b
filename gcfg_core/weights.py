"""The weight of every term in one guider call: weight * curve inside the window, 0 outside."""

from __future__ import annotations

from collections.abc import Sequence

from .curves import Constant
from .graph import GuidanceTerm
from .schedule import Progress


def is_fixed(term: GuidanceTerm) -> bool:
    """True where the weight does not depend on sigma."""
    return term.window.is_whole and isinstance(term.curve, Constant)


def term_weight(term: GuidanceTerm, sigma: float, progress: Progress) -> float:
    if is_fixed(term):
        return term.weight
    if not progress.is_active(term.window, sigma):
        return 0.0
    if isinstance(term.curve, Constant):
        return term.weight
    return term.weight * term.curve(term.window.position(progress.percent(sigma)))


def term_weights(terms: Sequence[GuidanceTerm], sigma: float, progress: Progress) -> tuple[float, ...]:
    return tuple(term_weight(term, sigma, progress) for term in terms)
