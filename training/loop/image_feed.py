"""Feed the loop with samples from a folder of pictures, through the latent cache."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor

from gcfg_core.errors import InputError

from ..base.model import LatentCodec
from ..console.progress_bar import bar, on
from ..data.buckets import Bucket
from ..data.config import DataConfig
from ..data.dataset import batches
from ..data.latent_cache import LatentCache
from ..data.latent_reader import LatentReader, wanted_latents
from ..data.order import BatchOrder
from ..data.placement import placement
from ..data.scan import Scan, scan_folder
from ..seeds import generator
from ..settings.config import RunConfig
from .step import Batch


@dataclass(frozen=True, eq=False)
class ImageFeed:
    """A `Feed` of pictures whose latents are on disk.

    Attributes:
        scan: of the folder.
        order: the pictures of each step.
        kept_out: buckets of the validation pictures, each picture in one bucket.
        reader: reads the latents.
        workers: number of processes that read ahead.
        pin_memory: pin batches in memory, for asynchronous copies to a GPU.
    """

    scan: Scan
    order: BatchOrder
    kept_out: Sequence[Bucket]
    reader: LatentReader
    workers: int
    pin_memory: bool

    @property
    def digest(self) -> str:
        return self.scan.digest

    @property
    def pictures(self) -> int:
        return len(self.scan.pictures) - sum(len(bucket.members) for bucket in self.kept_out)

    def batches(self, start_step: int, steps: int, rank: int, world: int) -> Iterator[Batch]:
        """Yield this process's part of the global batch of each step from ``start_step`` up to ``steps``."""
        if start_step >= steps:
            return
        given = batches(
            self.order, self.reader, self.scan, start_step, steps - start_step, rank, world,
            workers=self.workers, pin_memory=self.pin_memory,
        )  # fmt: skip
        for part in given:
            yield Batch(part.latents, part.captions, part.positions, part.time_ids, part.mask)

    def held_out(self) -> Sequence[Batch]:
        """Return the validation pictures as batches of one picture: the mean of each latent, not mirrored."""
        held = []
        for bucket in self.kept_out:
            for member in bucket.members:
                picture = self.scan.pictures[member]
                latent = self.reader.get(picture, bucket.size, False)
                ids = torch.tensor([placement(picture.size, bucket.size, False).time_ids()])
                mask = self.reader.masks([latent])
                held.append(Batch(latent.mean[None], [picture.caption or ""], [len(held)], ids, mask))
        return held

    def calibration(self, count: int) -> Iterator[Tensor]:
        """Yield latents [C, h, w] of up to ``count`` training pictures, chosen by the seed."""
        places = [(member, bucket.size) for bucket in self.order.buckets for member in bucket.members]
        order = torch.randperm(len(places), generator=generator(self.order.seed, "calibration")).tolist()
        for place in order[:count]:
            member, size = places[place]
            yield self.reader.get(self.scan.pictures[member], size, self.order.flip >= 1.0).mean


def scan_images(config: DataConfig, output: Path, quiet: bool = False, keep: bool = True) -> Scan:
    """Scan the folder with a progress bar; ``keep``: store facts about the files in the cache."""
    with bar("scanning files", "file", quiet=quiet) as shown:
        return scan_folder(with_cache(config, output), on(shown), keep)


def with_cache(config: DataConfig, output: Path) -> DataConfig:
    """Return the settings with a cache folder; the default is the run's own."""
    return config if config.cache is not None else config.model_copy(update={"cache": output / "cache"})


def cache_folder(config: RunConfig) -> Path:
    """Return the folder of a run's latents."""
    return with_cache(config.data, Path(config.output)).cache  # type: ignore[return-value]


def split(scan: Scan, held_out: int, seed: int) -> tuple[tuple[Bucket, ...], tuple[Bucket, ...]]:
    """Split a scan into buckets to train on and buckets of ``held_out`` pictures, chosen by the seed, each in one
    bucket.

    Raises:
        InputError: there are too few pictures.
    """
    count = len(scan.pictures)
    if held_out >= count:
        raise InputError("held_out", f"fewer than the {count} pictures", str(held_out), "Lower it.")
    order = torch.randperm(count, generator=generator(seed, "held out")).tolist()
    out = frozenset(order[:held_out])
    buckets = scan.buckets()
    training = [replace(b, members=tuple(m for m in b.members if m not in out)) for b in buckets]
    kept, left = [], set(out)
    for bucket in buckets:
        kept.append(replace(bucket, members=tuple(m for m in bucket.members if m in left)))
        left -= set(bucket.members)
    return tuple(b for b in training if b.members), tuple(b for b in kept if b.members)


def open_images(
    config: RunConfig, scan: Scan, codec: LatentCodec, accelerator: Accelerator, global_batch: int
) -> ImageFeed:
    """Return the feed of a scanned folder. Make missing latents, divided among the processes.

    Raises:
        InputError: there are too few pictures, or latents cannot be made or stored.
    """
    training, kept_out = split(scan, config.loop.held_out, config.loop.seed)
    order = BatchOrder(training, global_batch, config.loop.seed, config.data.flip)
    cache = LatentCache(cache_folder(config), codec, {"precision": "float32"}, config.data.transparency)
    wanted = wanted_latents(scan.pictures, training, config.data.flip) + wanted_latents(scan.pictures, kept_out, 0.0)
    with bar("latents", "picture", quiet=not accelerator.is_main_process) as shown:
        cache.fill(
            wanted, accelerator.device, rank=accelerator.process_index, world=accelerator.num_processes,
            workers=config.data.workers, progress=on(shown),
        )  # fmt: skip
    codec.to("cpu")
    accelerator.wait_for_everyone()
    pin = accelerator.device.type == "cuda"
    return ImageFeed(scan, order, kept_out, cache.reader(), config.data.workers, pin)
