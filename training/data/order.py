"""The pictures of each step, computed from the seed and the step alone."""

from array import array
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import accumulate
from typing import NamedTuple

import torch

from gcfg_core.errors import InputError

from ..seeds import generator, uniform
from .buckets import Bucket


class Slot(NamedTuple):
    """A place in a global batch.

    Attributes:
        picture: index of the picture.
        bucket: index of the bucket.
        flip: True if it is mirrored.
        epoch: from 0.
        position: in the global batch; part of the key of the slot's random numbers.
    """

    picture: int
    bucket: int
    flip: bool
    epoch: int
    position: int


@lru_cache(maxsize=128)
def _permutation(count: int, *place: int | str) -> Sequence[int]:
    return array("q", torch.randperm(count, generator=generator(*place)).tolist())


@dataclass(frozen=True)
class BatchOrder:
    """The order of pictures in a run. It has no state, so a run resumes from the step number alone.

    Each epoch shuffles every bucket, cuts it into batches, fills its last batch from the start of the shuffled bucket,
    and shuffles the batches of all buckets. Every picture appears in every epoch, once in each of its buckets, or more
    often to fill a last batch.

    Attributes:
        buckets: each with at least one picture.
        batch: slots per step, over all processes and accumulated batches.
        seed: of the run.
        flip: probability of mirroring.
    """

    buckets: Sequence[Bucket]
    batch: int
    seed: int
    flip: float = 0.5
    ends: tuple[int, ...] = field(init=False, repr=False)  # cumulative number of batches at the end of each bucket

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise InputError("batch", "at least 1", str(self.batch), "Give the number of pictures per step.")
        if not self.buckets or not all(bucket.members for bucket in self.buckets):
            raise ValueError("buckets: expected some, each with a picture")
        batches = (-(-len(bucket.members) // self.batch) for bucket in self.buckets)
        object.__setattr__(self, "ends", tuple(accumulate(batches)))

    @property
    def steps_per_epoch(self) -> int:
        """Batches per epoch."""
        return self.ends[-1]

    @property
    def repeats(self) -> int:
        """Slots per epoch that repeat a picture to fill the last batch of a bucket."""
        return sum(-len(bucket.members) % self.batch for bucket in self.buckets)

    def slots(self, step: int) -> list[Slot]:
        """Return the ``batch`` slots of a step (from 0), all of one bucket."""
        epoch, place = divmod(step, self.steps_per_epoch)
        number = _permutation(self.steps_per_epoch, self.seed, "batches", epoch)[place]
        bucket = bisect_right(self.ends, number)
        first = (number - (self.ends[bucket - 1] if bucket else 0)) * self.batch
        members = self.buckets[bucket].members
        order = _permutation(len(members), self.seed, "bucket", epoch, bucket)
        slots = []
        for position in range(self.batch):
            flip = uniform(self.seed, "flip", step, position) < self.flip
            slots.append(Slot(members[order[(first + position) % len(members)]], bucket, flip, epoch, position))
        return slots


def share(slots: Sequence[Slot], rank: int, world: int) -> list[Slot]:
    """Return the slots of process ``rank`` of ``world``: every world-th slot.

    Raises:
        InputError: the batch cannot be divided evenly, which would weight pictures differently.
    """
    if len(slots) % world:
        raise InputError("batch", f"a multiple of the {world} processes", str(len(slots)), "Change the batch.")
    return list(slots[rank::world])
