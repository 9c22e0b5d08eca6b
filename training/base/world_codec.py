"""A small world's codecs: latents are the pixels, singly or in blocks, or those of a tiny autoencoder."""

import torch
from torch import Tensor

from gcfg_core.concept.pixel_latents import PIXEL_FORMATS, pixel_channels, to_latents, to_pixels
from gcfg_core.concept.tensor_digest import digest_of
from gcfg_core.concept.world_latents import TINY_FACTOR, TINY_FORMATS
from gcfg_core.world.autoencoder_file import StoredAutoencoder

from ..device import full_float32
from .chunks import check_sides, in_chunks

CHUNK = 16  # pictures per pass through an autoencoder


class PixelCodec:
    """A `LatentCodec` without weights: latents are rearranged pixels.

    Args:
        block: side of the pixel block in each latent pixel.
    """

    deviates = False

    def __init__(self, block: int = 1) -> None:
        self.latent_format = PIXEL_FORMATS[block]
        self.factor = block
        self.channels = pixel_channels(block)
        self.digest = "pixels" if block == 1 else f"pixels in blocks of {block}"

    def encode(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Rearrange pixels [B, 3, H, W] to latents [B, 3 * block^2, H / block, W / block], float32, with a deviation of
        0.

        Raises:
            ValueError: H or W is not a multiple of the block.
        """
        mean = to_latents(pixels.to(torch.float32), self.factor)
        return mean, torch.zeros_like(mean)

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Return the pixels of latents as float32, clamped to -1 .. 1."""
        return to_pixels(latents.to(torch.float32), self.factor).clamp(-1.0, 1.0)

    def to(self, device: torch.device | str) -> "PixelCodec":
        return self


class TinyCodec:
    """A `LatentCodec` of a tiny autoencoder, which has no deviation.

    Args:
        stored: the autoencoder.
    """

    deviates = False

    def __init__(self, stored: StoredAutoencoder) -> None:
        self.stored = stored
        self.network = stored.network().to(memory_format=torch.channels_last)
        self.latent_format = TINY_FORMATS[stored.channels]
        self.channels, self.factor = stored.channels, TINY_FACTOR
        self.digest = digest_of(stored.tensors)

    @torch.no_grad()
    def encode(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Encode pixels [B, 3, H, W] to latents [B, C, H / 8, W / 8], float32, with a deviation of 0.

        Raises:
            ValueError: H or W is not a multiple of 8.
        """
        check_sides(pixels, self.factor)
        with full_float32():
            mean = in_chunks(self.network.encode, pixels, CHUNK, self._device)
        return mean, torch.zeros_like(mean)

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Decode latents to pixels [B, 3, H, W] from -1 to 1, float32."""
        return in_chunks(self.network.decode, latents, CHUNK, self._device).clamp(-1.0, 1.0)

    def to(self, device: torch.device | str) -> "TinyCodec":
        self.network.to(device)
        return self

    @property
    def _device(self) -> torch.device:
        return next(self.network.parameters()).device


WorldCodec = PixelCodec | TinyCodec
