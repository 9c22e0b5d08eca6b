"""Read cached latents."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from gcfg_core.errors import InputError

from .buckets import Bucket
from .latent_entry import Latent, entry_key, entry_path, read_entry
from .picture import Picture, Size, printable
from .transparency import Transparency


class Wanted(NamedTuple):
    """A picture at the size of one of its buckets, plain, mirrored, or both."""

    picture: Picture
    size: Size
    flips: tuple[bool, ...]


def wanted_latents(pictures: Sequence[Picture], buckets: Iterable[Bucket], flip: float) -> list[Wanted]:
    """Return the latents needed for training with these buckets and this probability of mirroring."""
    flips = tuple(value for value, needed in ((False, flip < 1.0), (True, flip > 0.0)) if needed)
    return [Wanted(pictures[index], bucket.size, flips) for bucket in buckets for index in bucket.members]


@dataclass(eq=False)
class LatentReader:
    """The reading half of a cache, without a VAE, so that it can be sent to worker processes.

    Attributes:
        folder: folder of the entries.
        codec_digest: digest of the VAE.
        encoding: further facts in the keys.
        transparency: treatment of transparent parts; in the keys of pictures that have them.
    """

    folder: Path
    codec_digest: str
    encoding: Mapping[str, str] = field(default_factory=dict)
    transparency: Transparency = Transparency()

    def key(self, picture: Picture, size: Size, flip: bool) -> str:
        encoding = {**self.encoding, **(self.transparency.encoding if picture.transparent else {})}
        return entry_key(picture.sha256, self.codec_digest, size, flip, encoding)

    def is_masked(self, picture: Picture) -> bool:
        """True if the picture's latents have masks."""
        return self.transparency.as_mask and picture.transparent

    def masks(self, latents: Sequence[Latent]) -> Tensor | None:
        """Return masks [B, 1, h, w] of latents of one size, 1 for latents without a mask; None if masks are off."""
        if not self.transparency.as_mask:
            return None
        return torch.stack([
            torch.ones_like(latent.mean[:1]) if latent.mask is None else latent.mask for latent in latents
        ])  # fmt: skip

    def read(self, picture: Picture, size: Size, flip: bool) -> Latent | None:
        """Read a latent; None if it is missing or damaged."""
        return read_entry(self.folder, self.key(picture, size, flip))

    def get(self, picture: Picture, size: Size, flip: bool) -> Latent:
        """Read a latent that must exist.

        Raises:
            InputError: the entry was removed or damaged after the cache was filled.
        """
        latent = self.read(picture, size, flip)
        if latent is None:
            path = entry_path(self.folder, self.key(picture, size, flip))
            raise InputError(f"cache {printable(path)}", f"the latent of {printable(picture.name)} at {size}",
                             "a missing or damaged file", "Start again to make the latent again.")  # fmt: skip
        return latent
