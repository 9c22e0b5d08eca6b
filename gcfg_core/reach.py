"""Reach: the part of sampling and of the picture in which a condition is in force, as known before a run.

A condition may be limited to a range of sampling and to an area or a mask. A prediction exists only there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .schedule import ALWAYS, Progress, Window


@dataclass(frozen=True)
class Reach:
    """Where a condition is in force.

    Attributes:
        windows: shares of sampling, apart from each other and in order, both ends included; none for a condition that
            is never in force.
        is_everywhere: it covers the whole picture throughout these windows.
    """

    windows: tuple[Window, ...] = (ALWAYS,)
    is_everywhere: bool = True

    @property
    def is_always(self) -> bool:
        return len(self.windows) == 1 and self.windows[0].is_whole

    def is_active(self, sigma: float, progress: Progress) -> bool:
        return self.is_always or any(progress.reaches(window, sigma) for window in self.windows)

    def within(self, window: Window) -> Reach:
        """The part of it that lies in a window."""
        cut = ((max(one.start, window.start), min(one.end, window.end)) for one in self.windows)
        return Reach(tuple(Window(start, end) for start, end in cut if start < end), self.is_everywhere)


WHOLE = Reach()
NOWHERE = Reach(windows=())


def union(reaches: Iterable[Reach]) -> Reach:
    """Where at least one of several conditions is in force, which together make up one prediction."""
    reaches = tuple(reaches)
    windows = _joined(window for reach in reaches for window in reach.windows)
    whole = _joined(window for reach in reaches if reach.is_everywhere for window in reach.windows)
    return Reach(windows, is_everywhere=windows == whole)


def intersection(reaches: Sequence[Reach]) -> Reach:
    """Where all of several conditions are in force."""
    windows: tuple[Window, ...] = (ALWAYS,)
    for reach in reaches:
        windows = tuple(part for window in windows for part in reach.within(window).windows)
    return Reach(windows, all(reach.is_everywhere for reach in reaches))


def _joined(windows: Iterable[Window]) -> tuple[Window, ...]:
    """In order, those that touch or overlap as one."""
    joined: list[Window] = []
    for window in sorted(windows, key=lambda one: one.start):
        if joined and window.start <= joined[-1].end:
            joined[-1] = Window(joined[-1].start, max(joined[-1].end, window.end))
        else:
            joined.append(window)
    return tuple(joined)
