"""Latents of small worlds: pixels, or blocks of pixels as channels, which give the UNet fewer positions to compute."""

from torch import Tensor
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

# Names of the latent formats by the side of a block in pixels. The first is ComfyUI's own: 3 channels, scale 1.
PIXEL_FORMATS = {1: "ChromaRadiance", 2: "PixelBlocks2", 4: "PixelBlocks4"}


def pixel_channels(block: int) -> int:
    """Return the channels of a latent in which each position holds ``block`` x ``block`` RGB pixels."""
    return 3 * block * block


def to_latents(pixels: Tensor, block: int) -> Tensor:
    """Convert pixels [..., 3, H, W] to latents [..., 3 * block^2, H / block, W / block]; colours vary slowest.

    Raises:
        ValueError: H or W is not a multiple of ``block``.
    """
    if pixels.shape[-2] % block or pixels.shape[-1] % block:
        raise ValueError(f"pixels: expected sides that {block} divides, got {list(pixels.shape)}")
    return pixel_unshuffle(pixels, block)


def to_pixels(latents: Tensor, block: int) -> Tensor:
    """Convert latents back to pixels [..., 3, H, W]: the inverse of `to_latents`."""
    return pixel_shuffle(latents, block)
