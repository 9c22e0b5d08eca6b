"""The codec of a small world: latents are the pixels themselves."""

import torch
from torch import Tensor


class PixelCodec:
    """Pixels as they are, a `LatentCodec` without weights."""

    channels = 3
    factor = 1
    digest = "pixels"

    def encode(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """The pixels [B, 3, H, W] as float32, and a deviation of 0."""
        mean = pixels.to(torch.float32)
        return mean, torch.zeros_like(mean)

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """The latents [B, 3, H, W] as float32, cut to -1 .. 1."""
        return latents.to(torch.float32).clamp(-1.0, 1.0)

    def to(self, device: torch.device | str) -> "PixelCodec":
        return self
