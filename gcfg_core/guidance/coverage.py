"""Where conditions are in force, and so where the terms of a graph act.

    D = D_base + sum_i w_i * M_i * C_i * (D_positive_i - D_reference_i),    C_i = C_positive_i * C_reference_i

C_j is 1 where the condition of prediction j is in force and 0 elsewhere: no prediction exists there, even if ComfyUI
returns zeros. A term rests where either of its sides is not in force. A `Reach` says where a condition is in force as
far as this is known before a run, a `Coverage` says it for one call.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from .sampling_progress import ALWAYS, SamplingProgress, Window


@dataclass(frozen=True)
class Reach:
    """Where a condition is in force.

    Attributes:
        windows: shares of sampling, disjoint and in order, both ends included; empty for a condition that is never in
            force.
        is_everywhere: the condition covers the whole picture throughout these windows.
    """

    windows: tuple[Window, ...] = (ALWAYS,)
    is_everywhere: bool = True

    @property
    def is_always(self) -> bool:
        return len(self.windows) == 1 and self.windows[0].is_whole

    def is_active(self, sigma: float, progress: SamplingProgress) -> bool:
        return self.is_always or any(progress.reaches(window, sigma) for window in self.windows)

    def within(self, window: Window) -> Reach:
        """Return the part of this reach that lies in a window."""
        cut = ((max(own.start, window.start), min(own.end, window.end)) for own in self.windows)
        return Reach(tuple(Window(start, end) for start, end in cut if start < end), self.is_everywhere)


WHOLE = Reach()
NOWHERE = Reach(windows=())


def union(reaches: Iterable[Reach]) -> Reach:
    """Return where at least one of several conditions is in force; together they make up one prediction."""
    reaches = tuple(reaches)
    windows = _joined(window for reach in reaches for window in reach.windows)
    whole = _joined(window for reach in reaches if reach.is_everywhere for window in reach.windows)
    return Reach(windows, is_everywhere=windows == whole)


def intersection(reaches: Sequence[Reach]) -> Reach:
    """Return where all of several conditions are in force."""
    windows: tuple[Window, ...] = (ALWAYS,)
    for reach in reaches:
        windows = tuple(part for window in windows for part in reach.within(window).windows)
    return Reach(windows, all(reach.is_everywhere for reach in reaches))


def _joined(windows: Iterable[Window]) -> tuple[Window, ...]:
    """Sort windows and merge those that touch or overlap."""
    joined: list[Window] = []
    for window in sorted(windows, key=lambda each: each.start):
        if joined and window.start <= joined[-1].end:
            joined[-1] = Window(joined[-1].start, max(joined[-1].end, window.end))
        else:
            joined.append(window)
    return tuple(joined)


Cover: TypeAlias = float | Tensor
"""1.0 everywhere, 0.0 nowhere, or a map [B or 1, 1, ...] of zeros and ones."""

UNKNOWN = torch.full((1, 1, 1, 1), torch.nan)
"""A map that is not known before a run; a sum of weights on it never counts as zero."""


class Coverage:
    """The cover of every prediction and term in one call, shared by all calls with the same conditions in force.

    Attributes:
        predictions: each prediction's cover.
        partial: the predictions that exist in a part of the picture.
        terms: each term's cover.
        masks: mask times cover of each term, None where that is 1 everywhere.
        mapped: the terms that have a mask or a cover map.
    """

    def __init__(
        self, predictions: Sequence[Cover], sides: Sequence[tuple[int, int]], masks: Sequence[Tensor | None]
    ) -> None:
        """
        Args:
            predictions: each prediction's cover.
            sides: for every term, the indices of its positive and its reference prediction.
            masks: each term's own mask at latent size, or None.
        """
        self.predictions = tuple(predictions)
        self.partial = frozenset(j for j, cover in enumerate(predictions) if isinstance(cover, Tensor))
        self.terms = tuple(_product(predictions[positive], predictions[reference]) for positive, reference in sides)
        self.masks = tuple(_mask(mask, cover) for mask, cover in zip(masks, self.terms, strict=True))
        self.mapped = frozenset(i for i, mask in enumerate(self.masks) if mask is not None)

    def rests(self, i: int) -> bool:
        """True if term i acts nowhere."""
        return is_nowhere(self.terms[i])

    def weights(self, weights: Sequence[float]) -> tuple[float, ...]:
        """Return each term's weight, 0 for terms that rest."""
        return tuple(0.0 if self.rests(i) else weight for i, weight in enumerate(weights))

    def inside(self, i: int, difference: Tensor) -> Tensor:
        """Return term i's difference [B, ...], zero outside its cover."""
        cover = self.terms[i]
        return difference * cover if isinstance(cover, Tensor) else difference

    def filled(self, predictions: Mapping[int, Tensor], base: int) -> dict[int, Tensor]:
        """Fill predictions [B, ...] with the base prediction where they do not exist, so that each covers the whole
        picture.

        They stay unchanged if the base prediction was not evaluated.
        """
        filled = dict(predictions)
        for j in self.partial & filled.keys() if base in filled else ():
            filled[j] = torch.where(torch.as_tensor(self.predictions[j]) > 0, filled[j], filled[base])
        return filled


def is_nowhere(cover: Cover) -> bool:
    return not isinstance(cover, Tensor) and cover == 0.0


def _product(first: Cover, second: Cover) -> Cover:
    if is_nowhere(first) or is_nowhere(second):
        return 0.0
    if first is UNKNOWN or second is UNKNOWN:
        return UNKNOWN
    both = first * second
    return 0.0 if isinstance(both, Tensor) and not bool(both.any()) else both


def _mask(mask: Tensor | None, cover: Cover) -> Tensor | None:
    if not isinstance(cover, Tensor):
        return mask
    if cover is UNKNOWN:  # no product: the mask may be large, and on another device
        return UNKNOWN
    return cover if mask is None else mask * cover
