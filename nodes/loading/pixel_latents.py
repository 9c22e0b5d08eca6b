"""The latents of a small world in ComfyUI: latent formats for blocks of pixels, and a VAE without a network."""

from __future__ import annotations

from typing import Any

import comfy.latent_formats
import comfy.sd
import torch
from torch import Tensor

from ...gcfg_core.concept.pixel_latents import pixel_channels, to_latents, to_pixels
from .own_vae import with_network


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

MARKER = "pixel_space_vae"  # the tensor by which ComfyUI's own loader recognizes its VAE of single pixels


class PixelBlocksVAE(torch.nn.Module):
    """The methods that ComfyUI's VAE calls on an autoencoder. Pixels and latents are in -1 .. 1.

    Results never share memory with the input, because ComfyUI turns them into images in place.
    """

    def __init__(self, block: int) -> None:
        super().__init__()
        self.block = block
        marker = MARKER if block == 1 else f"pixel_blocks_{block}_vae"
        self.register_parameter(marker, torch.nn.Parameter(torch.tensor(1.0), requires_grad=False))

    def encode(self, pixels: Tensor, *_: Any, **__: Any) -> Tensor:
        """Convert [B, 3, H, W] to [B, 3 * block^2, H / block, W / block]."""
        return to_latents(pixels, self.block).clone()

    def decode(self, samples: Tensor, *_: Any, **__: Any) -> Tensor:
        """Convert [B, 3 * block^2, H, W] to [B, 3, H * block, W * block]."""
        return to_pixels(samples, self.block).clone()


def pixel_vae(block: int) -> comfy.sd.VAE:
    """Make a ComfyUI VAE whose latents hold blocks of ``block`` x ``block`` pixels, in float32 on every device."""
    vae = comfy.sd.VAE(sd={MARKER: torch.tensor(1.0)}, dtype=torch.float32)
    vae.downscale_ratio = vae.upscale_ratio = block
    vae.latent_channels = pixel_channels(block)
    return with_network(vae, PixelBlocksVAE(block))
