"""Make the latents of every picture once and store them on disk."""

import contextlib
import shutil
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from gcfg_core.errors import InputError

from ..base.model import LatentCodec
from ..console.output import size_text
from ..console.progress_bar import Progress
from ..durable import PARTIAL
from .image_file import error_line, quiet
from .latent_entry import Latent, entry_bytes, entry_path, write_entry
from .latent_reader import LatentReader, Wanted
from .picture import Size, printable
from .pixels import load_pixels
from .transparency import Transparency

ABANDONED = 3600.0  # seconds after which a temporary file counts as abandoned
Item = TypeVar("Item")
Result = TypeVar("Result")


class LatentCache(LatentReader):
    """Latents keyed by picture bytes, VAE, size, mirroring and encoding; a change of any of them changes the key.

    Args:
        folder: of the cache; runs and data sets can share it.
        codec: the VAE; `fill` moves it to the device and leaves it there.
        encoding: further facts that determine latents, for example the encoder's precision.
        transparency: treatment of transparent parts.
    """

    def __init__(
        self,
        folder: Path,
        codec: LatentCodec,
        encoding: Mapping[str, str] | None = None,
        transparency: Transparency | None = None,
    ) -> None:
        super().__init__(folder, codec.digest, dict(encoding or {}), transparency or Transparency())
        self.codec = codec

    def reader(self) -> LatentReader:
        """Return this cache without its VAE."""
        return LatentReader(self.folder, self.codec_digest, self.encoding, self.transparency)

    def estimate(self, wanted: Iterable[Wanted]) -> int:
        """Return the size of the entries' files in bytes."""
        kinds: Counter[tuple[Size, bool]] = Counter()
        for item in wanted:
            kinds[item.size, self.is_masked(item.picture)] += len(item.flips)
        return sum(count * self._entry_bytes(*kind) for kind, count in kinds.items())

    def _entry_bytes(self, size: Size, masked: bool) -> int:
        codec = self.codec
        shape = codec.channels, size.height // codec.factor, size.width // codec.factor
        return entry_bytes(shape, codec.deviates, masked)

    def fill(
        self,
        wanted: Sequence[Wanted],
        device: torch.device | str = "cpu",
        batch: int = 4,
        rank: int = 0,
        world: int = 1,
        workers: int = 2,
        progress: Progress | None = None,
    ) -> int:
        """Make every missing or damaged entry; safe to interrupt, and to run in several processes at once.

        Batches are cut from ``wanted`` whatever exists already, and a batch with a gap is encoded whole. So an
        interrupted fill gives the same bits, although encoders round differently for other batch sizes.

        Args:
            wanted: see `wanted_latents`.
            device: device of the codec.
            batch: pictures encoded at once.
            rank: index of this process, which makes every world-th batch.
            world: number of processes; wait for all of them before reading.
            workers: threads that read and decode pictures ahead.
            progress: called with (pictures done, pictures) of this process.

        Returns:
            The number of new entries.

        Raises:
            InputError: the codec cannot encode a size, a picture has changed, the disk is full, or latents are not
                finite.
        """
        self._check_sizes({w.size for w in wanted})
        if rank == 0:
            self._remove_abandoned()
        self._check_space(wanted)
        self.codec = self.codec.to(device)
        groups = list(_groups(wanted, batch))[rank::world]
        total, done, made = sum(map(len, groups)), 0, 0
        with quiet(), ThreadPoolExecutor(max(1, workers)) as pool:
            for group, gaps, pixels, masks in lookahead(pool, self._prepare, groups, 2 * max(1, workers)):
                made += sum(self._store(group, pixels.to(device), masks, flip) for flip in gaps)
                done += len(group)
                if progress is not None:
                    progress(done, total)
        return made

    def _prepare(self, group: list[Wanted]) -> tuple[list[Wanted], list[bool], Tensor, list[Tensor | None]]:
        """Return which mirrorings of a batch have gaps; if any, also its pixels [B, 3, H, W] and masks."""
        gaps = [flip for flip in group[0].flips if any(self.read(w.picture, w.size, flip) is None for w in group)]
        if not gaps:
            return group, gaps, torch.empty(0), []
        loaded = [load_pixels(w.picture, w.size, self.transparency.background) for w in group]
        masks = [
            avg_pool2d(opacity, self.codec.factor) if opacity is not None and self.is_masked(w.picture) else None
            for w, (_, opacity) in zip(group, loaded, strict=True)
        ]
        return group, gaps, torch.stack([pixels for pixels, _ in loaded]), masks

    @torch.no_grad()
    def _store(self, group: list[Wanted], pixels: Tensor, masks: list[Tensor | None], flip: bool) -> int:
        """Encode pixels [B, 3, H, W], mirrored or not, and write the entries with their masks [1, h, w]; return their
        number."""
        mean, std = self.codec.encode(pixels.flip(-1) if flip else pixels)
        if not bool(torch.isfinite(mean).all() and torch.isfinite(std).all()):
            raise InputError("VAE", "finite latents", f"infinity near {printable(group[0].picture.name)}",
                             "Run the VAE in float32.")  # fmt: skip
        for index, (picture, size, _) in enumerate(group):
            mask = masks[index]
            latent = Latent(mean[index], std[index], mask.flip(-1) if mask is not None and flip else mask)
            try:
                write_entry(self.folder, self.key(picture, size, flip), latent)
            except OSError as error:
                raise InputError(f"cache {printable(self.folder)}", "space and permission to write", error_line(error),
                                 "Make space or give another folder; finished entries are kept.") from None  # fmt: skip
        return len(group)

    def _check_sizes(self, sizes: set[Size]) -> None:
        factor = self.codec.factor
        for size in sorted(sizes):
            if size.width % factor or size.height % factor:
                raise InputError("bucket size", f"sides that are multiples of {factor}, the VAE's factor", str(size),
                                 "Change resolution or bucket_step.")  # fmt: skip

    def _check_space(self, wanted: Iterable[Wanted]) -> None:
        """Raise InputError if the missing entries need more than the free space."""
        missing = [
            w._replace(flips=gaps) for w in wanted if (gaps := tuple(f for f in w.flips if not self._there(w, f)))
        ]
        place = next((p for p in (self.folder, *self.folder.absolute().parents) if p.is_dir()), Path())
        needed, free = self.estimate(missing), shutil.disk_usage(place).free
        if needed > free:
            raise InputError(f"cache {printable(self.folder)}", f"{size_text(needed)} of free space", size_text(free),
                             f"Make space, {size_text(needed - free)} more, or give another folder.")  # fmt: skip

    def _there(self, wanted: Wanted, flip: bool) -> bool:
        return entry_path(self.folder, self.key(wanted.picture, wanted.size, flip)).exists()

    def _remove_abandoned(self) -> None:
        """Remove old temporary files of killed processes; another run may be writing into the folder now."""
        for path in self.folder.glob(f"**/*{PARTIAL}"):
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime > ABANDONED:
                    path.unlink()


def _groups(wanted: Sequence[Wanted], batch: int) -> Iterator[list[Wanted]]:
    """Yield batches of one size and one set of mirrorings, in order."""
    kinds: dict[tuple[Size, tuple[bool, ...]], list[Wanted]] = {}
    for item in wanted:
        kinds.setdefault((item.size, item.flips), []).append(item)
    for items in kinds.values():
        yield from (items[start : start + batch] for start in range(0, len(items), batch))


def lookahead(pool: Executor, work: Callable[[Item], Result], items: Iterable[Item], ahead: int) -> Iterator[Result]:
    """Yield ``work(item)`` of each item in order, with at most ``ahead`` calls under way; drop the rest on a stop."""
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) >= ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
