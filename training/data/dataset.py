"""Batches of latents for each step, the same in any number of processes and workers."""

from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from gcfg_core.errors import InputError

from ..seeds import normal, uniform
from .latent_cache import LatentCache
from .latent_entry import Latent
from .latent_reader import LatentReader
from .order import BatchOrder, Slot, share
from .picture import Picture
from .placement import placement
from .scan import Scan
from .worker import closed_at_exit, ignore_signals, signals_held


@dataclass(frozen=True, eq=False)
class LatentBatch:
    """One process's part of a step.

    Attributes:
        step: its step.
        epoch: the step's epoch.
        latents: [B, C, h, w] float32, drawn from each picture's mean and deviation.
        captions: of each slot; empty if missing or dropped.
        time_ids: [B, 6] float32, SDXL's size ids.
        positions: each slot's position in the global batch, the key of its noise and timestep.
        pictures: index of each slot's picture.
        mask: [B, 1, h, w] float32, weight of each latent pixel in the loss; None: 1 everywhere.
    """

    step: int
    epoch: int
    latents: Tensor
    captions: list[str]
    time_ids: Tensor
    positions: list[int]
    pictures: list[int]
    mask: Tensor | None = None

    def __len__(self) -> int:
        return len(self.positions)

    def pin_memory(self) -> "LatentBatch":
        """Pin the tensors in memory; DataLoader calls this."""
        mask = None if self.mask is None else self.mask.pin_memory()
        return replace(self, latents=self.latents.pin_memory(), time_ids=self.time_ids.pin_memory(), mask=mask)


@dataclass(frozen=True, eq=False)
class LatentDataset(Dataset[LatentBatch]):
    """Item i is this process's part of step ``start_step + i``; depends on nothing but the step.

    Attributes:
        order: the run's order of pictures.
        reader: reads the filled cache.
        pictures: the scan's pictures.
        start_step: first step.
        steps: number of steps.
        rank, world: index of this process, and number of processes; it has every world-th slot (see `share`).
        caption_dropout: probability of an empty caption.
    """

    order: BatchOrder
    reader: LatentReader
    pictures: Sequence[Picture]
    start_step: int
    steps: int
    rank: int
    world: int
    caption_dropout: float

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, index: int) -> LatentBatch:
        if not 0 <= index < self.steps:
            raise IndexError(index)
        step = self.start_step + index
        slots = share(self.order.slots(step), self.rank, self.world)
        latents = [self._latent(slot) for slot in slots]
        return LatentBatch(
            step,
            slots[0].epoch,
            torch.stack([self._drawn(*pair, step) for pair in zip(latents, slots, strict=True)]),
            [self._caption(slot, step) for slot in slots],
            torch.tensor([self._time_ids(slot) for slot in slots]),
            [slot.position for slot in slots],
            [slot.picture for slot in slots],
            self.reader.masks(latents),
        )

    def _latent(self, slot: Slot) -> Latent:
        return self.reader.get(self.pictures[slot.picture], self.order.buckets[slot.bucket].size, slot.flip)

    def _drawn(self, latent: Latent, slot: Slot, step: int) -> Tensor:
        """Draw mean + std * eps  [C, h, w]."""
        if not bool(latent.std.any()):
            return latent.mean
        noise = normal(tuple(latent.mean.shape), self.order.seed, "latent", step, slot.position)
        return latent.mean + latent.std * noise

    def _caption(self, slot: Slot, step: int) -> str:
        caption = self.pictures[slot.picture].caption or ""
        if caption and uniform(self.order.seed, "caption", step, slot.position) < self.caption_dropout:
            return ""
        return caption

    def _time_ids(self, slot: Slot) -> list[float]:
        size = self.order.buckets[slot.bucket].size
        return placement(self.pictures[slot.picture].size, size, slot.flip).time_ids()


def batches(
    order: BatchOrder,
    cache: LatentCache | LatentReader,
    scan: Scan,
    start_step: int,
    steps: int,
    rank: int = 0,
    world: int = 1,
    workers: int | None = None,
    pin_memory: bool = False,
) -> Iterator[LatentBatch]:
    """Yield this process's batches of ``steps`` steps from ``start_step`` on.

    Args:
        order: the run's order of pictures.
        cache: filled for the order's buckets.
        scan: the scanned pictures.
        start_step: first step: 0, or the step to resume at.
        steps: number of steps.
        rank: index of this process.
        world: number of processes; must divide the batch.
        workers: processes that read ahead; default: the configuration's. The number does not change the result.
        pin_memory: pin batches in memory, for asynchronous copies to a GPU.

    Raises:
        InputError: the batch cannot be divided evenly, or a cache entry is missing or damaged.
    """
    share(order.slots(start_step), rank, world)
    reader = cache.reader() if isinstance(cache, LatentCache) else cache
    dropout = scan.config.caption_dropout
    data = LatentDataset(order, reader, scan.pictures, start_step, steps, rank, world, dropout)
    workers = scan.config.workers if workers is None else workers
    if workers == 0 and not pin_memory:
        return (data[index] for index in range(steps))
    # Without its own generator DataLoader would draw the workers' seed from the global generator.
    settings = {"num_workers": workers, "pin_memory": pin_memory, "generator": torch.Generator().manual_seed(0)}
    loader = DataLoader(_Answering(data), batch_size=None, worker_init_fn=ignore_signals, **settings)
    return closed_at_exit(_answers(loader))


@dataclass(frozen=True)
class _Answer:
    """A worker's batch or error; DataLoader would turn an InputError into a traceback."""

    batch: LatentBatch | None
    error: tuple[str, str, str, str] | None = None

    def pin_memory(self) -> "_Answer":
        return self if self.batch is None else _Answer(self.batch.pin_memory())


@dataclass(frozen=True, eq=False)
class _Answering(Dataset[_Answer]):
    data: LatentDataset

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> _Answer:
        try:
            return _Answer(self.data[index])
        except InputError as error:
            return _Answer(None, (error.name, error.expected, error.got, error.remedy))


def _answers(loader: Iterable[_Answer]) -> Generator[LatentBatch, None, None]:
    with signals_held():
        answers = iter(loader)
    try:
        for answer in answers:
            if answer.error is not None:
                raise InputError(*answer.error)
            if answer.batch is not None:
                yield answer.batch
    finally:
        del answers  # ends the workers even if a traceback still holds this frame
