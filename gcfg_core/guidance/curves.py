"""Weight curves: a factor on a term's weight over its window; position 0 is the window's start, 1 its end."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

Curve = Callable[[float], float]


@dataclass(frozen=True)
class Constant:
    """f(p) = 1."""

    def __call__(self, position: float) -> float:
        return 1.0


@dataclass(frozen=True)
class Linear:
    """From 1 at the start to ``end`` at the end of the window."""

    end: float = 0.0

    def __call__(self, position: float) -> float:
        return 1.0 + (self.end - 1.0) * position


@dataclass(frozen=True)
class Cosine:
    """From 1 to ``end`` along half a cosine: slow, fast, slow."""

    end: float = 0.0

    def __call__(self, position: float) -> float:
        return self.end + (1.0 - self.end) * 0.5 * (1.0 + math.cos(math.pi * position))


@dataclass(frozen=True)
class Ramp:
    """A cosine rise from 0 to 1 and a fall back to 0; each takes ``share`` (0 to 0.5) of the window."""

    share: float = 0.25

    def __post_init__(self) -> None:
        if not 0.0 <= self.share <= 0.5:
            raise ValueError(f"curve_ramp: expected a share of the window from 0 to 0.5, got {self.share}.")

    def __call__(self, position: float) -> float:
        distance = min(position, 1.0 - position)
        if distance >= self.share:
            return 1.0
        return 0.5 * (1.0 - math.cos(math.pi * max(distance, 0.0) / self.share))


@dataclass(frozen=True)
class Keyframes:
    """Straight lines between (position, factor) points; constant before the first and after the last."""

    points: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        if not self.points:
            raise ValueError("keyframes: expected at least one 'position:factor' pair, got none.")
        positions = [position for position, _ in self.points]
        if any(not 0.0 <= position <= 1.0 for position in positions):
            raise ValueError(f"keyframes: positions must lie between 0 and 1, got {positions}.")
        if not all(math.isfinite(factor) for _, factor in self.points):
            raise ValueError(f"keyframes: factors must be finite, got {[factor for _, factor in self.points]}.")
        if positions != sorted(set(positions)):
            raise ValueError(f"keyframes: positions must rise and be distinct, got {positions}.")

    def __call__(self, position: float) -> float:
        before = self.points[0]
        for after in self.points:
            if position <= after[0]:
                span = after[0] - before[0]
                return after[1] if span == 0 else before[1] + (after[1] - before[1]) * (position - before[0]) / span
            before = after
        return before[1]


CONSTANT = Constant()


def parse_keyframes(text: str) -> Keyframes:
    """Read "0:1, 0.5:2, 1:0" (position:factor pairs).

    Raises:
        ValueError: a part is not two numbers joined by a colon, or the positions are out of order.
    """
    points = []
    for part in filter(None, (part.strip() for part in text.replace("\n", ",").split(","))):
        position, colon, factor = part.partition(":")
        try:
            points.append((float(position), float(factor)))
        except ValueError:
            raise ValueError(f"keyframes: expected 'position:factor' like '0.5:2', got {part!r}.") from None
    return Keyframes(tuple(points))
