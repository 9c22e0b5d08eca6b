"""ComfyUI latent formats for blocks of pixels as channels; for single pixels ComfyUI has its own."""

from __future__ import annotations

import comfy.latent_formats

from ...gcfg_core.concept.pixel_latents import pixel_channels


def _mean_of_block(block: int) -> list[list[float]]:
    """Return each channel's share of red, green and blue in a preview with one pixel per block: the mean of its
    colour."""
    share = 1.0 / block**2
    return [[share * (channel // block**2 == colour) for colour in range(3)] for channel in range(3 * block**2)]


class PixelBlocks2(comfy.latent_formats.LatentFormat):
    """Latents whose positions are blocks of 2 x 2 RGB pixels in -1 .. 1 (`gcfg_core.concept.pixel_latents`)."""

    latent_channels = pixel_channels(2)
    spacial_downscale_ratio = 2
    latent_rgb_factors = _mean_of_block(2)


class PixelBlocks4(comfy.latent_formats.LatentFormat):
    """Latents whose positions are blocks of 4 x 4 RGB pixels in -1 .. 1."""

    latent_channels = pixel_channels(4)
    spacial_downscale_ratio = 4
    latent_rgb_factors = _mean_of_block(4)


PIXEL_BLOCKS = {format_.__name__: format_ for format_ in (PixelBlocks2, PixelBlocks4)}
