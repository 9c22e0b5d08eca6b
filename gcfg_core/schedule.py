"""Sampling progress: windows and curves follow sigma, never step numbers, so that multi-stage samplers stay exact.

A percent means what it means in ComfyUI: 0 is the start of sampling, 1 its end, ``percent_to_sigma`` of the base model
turns it into a sigma. Guidance windows: arXiv 2404.07724.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

BISECTIONS = 40


@dataclass(frozen=True)
class Window:
    """Active for percent_to_sigma(end) < sigma <= percent_to_sigma(start); an end of 1 includes the last call."""

    start: float = 0.0
    end: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.start <= 1.0 or not 0.0 <= self.end <= 1.0:
            raise ValueError(
                f"start_percent and end_percent must lie between 0 and 1, got {self.start} and {self.end}."
            )
        if self.start > self.end:
            raise ValueError(
                f"start_percent ({self.start}) is after end_percent ({self.end}), so the term would never act: "
                "0 is the start of sampling and 1 its end; swap them."
            )

    @property
    def is_whole(self) -> bool:
        return self.start <= 0.0 and self.end >= 1.0

    def position(self, percent: float) -> float:
        """Where ``percent`` lies within the window: 0 at its start, 1 at its end, clamped."""
        width = self.end - self.start
        return min(max((percent - self.start) / width, 0.0), 1.0) if width > 0 else 0.0


ALWAYS = Window()


@dataclass
class Progress:
    """Sampling progress on one model's noise schedule; ``percent_to_sigma`` must fall as the percent rises."""

    percent_to_sigma: Callable[[float], float]
    _percents: dict[float, float] = field(default_factory=dict)
    _bounds: dict[Window, tuple[float, float]] = field(default_factory=dict)

    def percent(self, sigma: float) -> float:
        """The percent at which sampling reaches ``sigma``: the inverse of percent_to_sigma, by bisection."""
        if sigma not in self._percents:
            low, high = 0.0, 1.0
            for _ in range(BISECTIONS):
                middle = 0.5 * (low + high)
                if self.percent_to_sigma(middle) > sigma:
                    low = middle
                else:
                    high = middle
            self._percents[sigma] = 0.5 * (low + high)
        return self._percents[sigma]

    def is_active(self, window: Window, sigma: float) -> bool:
        if window not in self._bounds:
            start = math.inf if window.start <= 0.0 else float(self.percent_to_sigma(window.start))
            end = -math.inf if window.end >= 1.0 else float(self.percent_to_sigma(window.end))
            self._bounds[window] = (start, end)
        start, end = self._bounds[window]
        return end < sigma <= start
