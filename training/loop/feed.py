"""Where a run's samples come from, as far as the loop is concerned."""

from collections.abc import Iterator, Sequence
from typing import Protocol

from .step import Batch


class Feed(Protocol):
    """Samples by step: the same at every step, however the run got there.

    Attributes:
        digest: changes when the pictures or captions do.
        pictures: that are trained on.
    """

    @property
    def digest(self) -> str: ...

    @property
    def pictures(self) -> int: ...

    def batches(self, start_step: int, steps: int, rank: int, world: int) -> Iterator[Batch]:
        """This process's part of the global batch of each step from ``start_step`` up to ``steps``."""
        ...

    def held_out(self) -> Sequence[Batch]:
        """The pictures that are not trained on, one a batch; their slots count them."""
        ...
