"""The interface between the loop and the source of its samples."""

from collections.abc import Iterator, Sequence
from typing import Protocol

from .step import Batch


class Feed(Protocol):
    """Samples for each step; a step's samples do not depend on where the run was resumed.

    Attributes:
        digest: hash of the pictures and captions.
        pictures: number of training pictures.
    """

    @property
    def digest(self) -> str: ...

    @property
    def pictures(self) -> int: ...

    def batches(self, start_step: int, steps: int, rank: int, world: int) -> Iterator[Batch]:
        """Yield this process's part of the global batch of each step from ``start_step`` up to ``steps``."""
        ...

    def held_out(self) -> Sequence[Batch]:
        """Return the validation pictures as batches of one picture, whose slot is the picture's index."""
        ...
