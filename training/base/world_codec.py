"""A small world's codec: latents are the pixels, singly or in blocks."""

import torch
from torch import Tensor

from gcfg_core.concept.pixel_latents import pixel_channels, to_latents, to_pixels


class PixelCodec:
    """A `LatentCodec` without weights: latents are rearranged pixels.

    Args:
        block: side of the pixel block in each latent pixel.
    """

    deviates = False

    def __init__(self, block: int = 1) -> None:
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
