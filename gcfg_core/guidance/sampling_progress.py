"""Sampling progress: windows and curves follow sigma, never step numbers, so that multi-stage samplers stay exact.

Percents are ComfyUI's: 0 is the start of sampling, 1 its end, and the base model's ``percent_to_sigma`` converts them
to sigmas. Guidance windows: arXiv 2404.07724.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

EDGE = 1e-7
"""The search uses percents between EDGE and 1 - EDGE."""
NEAR = 1e-7
"""Relative tolerance on sigma at which the search for a percent ends; float32 steps are 6e-8."""
MOST_STEPS = 90


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
        """Return where ``percent`` lies within the window: 0 at its start, 1 at its end, clamped."""
        width = self.end - self.start
        return min(max((percent - self.start) / width, 0.0), 1.0) if width > 0 else 0.0


ALWAYS = Window()


@dataclass
class SamplingProgress:
    """Sampling progress on one model's noise schedule; ``percent_to_sigma`` must fall as the percent rises."""

    percent_to_sigma: Callable[[float], float]
    _percents: dict[float, float] = field(default_factory=dict)
    _bounds: dict[Window, tuple[float, float]] = field(default_factory=dict)

    def percent(self, sigma: float) -> float:
        """Return the percent at which sampling reaches ``sigma``: the inverse of percent_to_sigma, to about 1e-7."""
        if sigma not in self._percents:
            self._percents[sigma] = self._inverse(sigma)
        return self._percents[sigma]

    def _distance(self, percent: float, sigma: float) -> float:
        """Return log(percent_to_sigma(percent) / sigma); one evaluation takes tens of microseconds in ComfyUI."""
        reached = float(self.percent_to_sigma(percent))
        return math.log(reached / sigma) if reached > 0.0 else -math.inf

    def _inverse(self, sigma: float) -> float:
        """Find the percent by false position (Illinois: halve the value of an end that stays) on log sigma, nearly a
        line."""
        if sigma <= 0.0:
            return 1.0
        low, high = EDGE, 1.0 - EDGE  # at exactly 0 and 1 ComfyUI returns sentinels
        above, below = self._distance(low, sigma), self._distance(high, sigma)
        if above <= 0.0 or below >= 0.0:
            return 0.0 if above <= 0.0 else 1.0
        moved = 0
        for step in range(MOST_STEPS):
            middle = (low * below - high * above) / (below - above)
            if step % 5 == 4 or not low < middle < high:
                middle = 0.5 * (low + high)  # bisect now and then, so that any noise schedule converges
            distance = self._distance(middle, sigma)
            if abs(distance) <= NEAR or high - low <= NEAR:
                return middle
            if distance > 0.0:
                low, above, below = middle, distance, below * (0.5 if moved > 0 else 1.0)
            else:
                high, below, above = middle, distance, above * (0.5 if moved < 0 else 1.0)
            moved = 1 if distance > 0.0 else -1
        return 0.5 * (low + high)

    def is_active(self, window: Window, sigma: float) -> bool:
        """True if a term's window is open at ``sigma``; its end is excluded."""
        start, end = self._sigmas(window)
        return end < sigma <= start

    def reaches(self, window: Window, sigma: float) -> bool:
        """True if a condition that is limited to the window is in force at ``sigma``; both ends included, as in
        ComfyUI."""
        start, end = self._sigmas(window)
        return end <= sigma <= start

    def _sigmas(self, window: Window) -> tuple[float, float]:
        """Return the sigmas of the window's start and end, infinite where it has no bound."""
        if window not in self._bounds:
            start = math.inf if window.start <= 0.0 else float(self.percent_to_sigma(window.start))
            end = -math.inf if window.end >= 1.0 else float(self.percent_to_sigma(window.end))
            self._bounds[window] = (start, end)
        return self._bounds[window]
