"""Batches of latents, step by step, the same in any number of processes and workers."""

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
        step: that it belongs to.
        epoch: that the step belongs to.
        latents: [B, C, h, w] float32, drawn from each picture's mean and deviation.
        captions: of each slot; empty where there is none or it was dropped.
        time_ids: [B, 6] float32, SDXL's size ids.
        positions: of each slot in the global batch: the key of its noise and timestep.
        pictures: index of each slot's picture.
        mask: [B, 1, h, w] float32, the part of each latent pixel that the loss counts; None: all of them.
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
        """Called by DataLoader."""
        mask = None if self.mask is None else self.mask.pin_memory()
        return replace(self, latents=self.latents.pin_memory(), time_ids=self.time_ids.pin_memory(), mask=mask)


@dataclass(frozen=True, eq=False)
class LatentDataset(Dataset[LatentBatch]):
    """Item i is this process's part of step ``start_step + i``: a pure function of the step.

    Attributes:
        plan: the order of the run.
        reader: of the filled cache.
        pictures: of the scan.
        start_step: first step.
        steps: number of steps.
        rank, world: this process and the number of them; it has every world-th slot, see `share`.
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
        """mean + std * eps  [C, h, w]."""
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
    """This process's batches of ``steps`` steps from ``start_step`` on.

    Args:
        plan: the order of the run.
        cache: filled for the plan's buckets.
        scan: of the pictures.
        start_step: the first step to give: 0, or the one to resume at.
        steps: how many.
        rank: this process.
        world: number of processes, which must divide the plan's batch.
        workers: processes that read ahead; the configuration's if None. Any number gives the same bits.
        pin_memory: for copies to a GPU that do not wait.

    Raises:
        InputError: a batch that cannot be shared evenly, or an entry of the cache that is gone or damaged.
    """
    share(order.slots(start_step), rank, world)
    reader = cache.reader() if isinstance(cache, LatentCache) else cache
    dropout = scan.config.caption_dropout
    data = LatentDataset(order, reader, scan.pictures, start_step, steps, rank, world, dropout)
    workers = scan.config.workers if workers is None else workers
    if workers == 0 and not pin_memory:
        return (data[index] for index in range(steps))
    # A generator of its own: DataLoader would draw its workers' seed from the global one.
    settings = {"num_workers": workers, "pin_memory": pin_memory, "generator": torch.Generator().manual_seed(0)}
    loader = DataLoader(_Answering(data), batch_size=None, worker_init_fn=ignore_signals, **settings)
    return closed_at_exit(_answers(loader))


@dataclass(frozen=True)
class _Answer:
    """What a worker has to say: DataLoader would turn an InputError into a traceback."""

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
        del answers  # ends the workers, though a traceback may still hold this frame
