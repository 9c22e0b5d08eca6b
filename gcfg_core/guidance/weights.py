"""The weight of every term in one guider call: weight * curve inside the window, 0 outside."""

from __future__ import annotations

from .curves import Constant, Keyframes
from .graph import GuidanceTerm
from .sampling_progress import Progress


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


def weight_profile(term: GuidanceTerm, steps: int = 64) -> list[tuple[float, float]]:
    """The weight over sampling, as the corners of a line to draw.

    Returns:
        (percent, weight) from percent 0 to 1. Outside the window the weight is 0; at its edges two points share a
        percent. Inside it, ``steps`` even parts, and every keyframe.
    """
    window, curve = term.window, term.curve
    if window.end <= window.start:
        return [(0.0, 0.0), (1.0, 0.0)]
    positions = {0.0, 1.0} if isinstance(curve, Constant) else {step / steps for step in range(steps + 1)}
    if isinstance(curve, Keyframes):
        positions.update(position for position, _ in curve.points)
    width = window.end - window.start
    inside = [(window.start + width * position, term.weight * curve(position)) for position in sorted(positions)]
    before = [(0.0, 0.0), (window.start, 0.0)] if window.start > 0.0 else []
    after = [(window.end, 0.0), (1.0, 0.0)] if window.end < 1.0 else []
    return [*before, *inside, *after]
