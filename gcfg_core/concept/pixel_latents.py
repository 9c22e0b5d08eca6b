"""Latents of small worlds: pixels, or blocks of pixels as channels, so that a UNet has fewer places to work on."""

from torch import Tensor
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

# Names of the latent formats by the side of a block in pixels. The first is ComfyUI's own: 3 channels, scale 1.
PIXEL_FORMATS = {1: "ChromaRadiance", 2: "PixelBlocks2", 4: "PixelBlocks4"}


def pixel_channels(block: int) -> int:
    """Channels of a latent whose places are blocks of ``block`` x ``block`` RGB pixels."""
    return 3 * block * block


def pixel_block(channels: int) -> int | None:
    """The side of a block whose latents have so many channels; None where no format has."""
    return next((block for block in PIXEL_FORMATS if pixel_channels(block) == channels), None)


def to_latents(pixels: Tensor, block: int) -> Tensor:
    """Latents [..., 3 * block^2, H / block, W / block] of pixels [..., 3, H, W]; colours vary slowest.

    Raises:
        ValueError: H or W is no multiple of ``block``.
    """
    if pixels.shape[-2] % block or pixels.shape[-1] % block:
        raise ValueError(f"pixels: expected sides that {block} divides, got {list(pixels.shape)}")
    return pixel_unshuffle(pixels, block)


def to_pixels(latents: Tensor, block: int) -> Tensor:
    """Pixels [..., 3, H, W] of the latents that `to_latents` makes of them."""
    return pixel_shuffle(latents, block)
