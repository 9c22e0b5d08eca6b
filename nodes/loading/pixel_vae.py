"""The VAE of a small world: it has no network; pixels become latents unchanged, singly or in blocks."""

from __future__ import annotations

from typing import Any

import comfy.sd
import torch
from torch import Tensor

from ...gcfg_core.concept.pixel_latents import pixel_channels, to_latents, to_pixels
from ..comfyui.versions import remember_dtypes

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
    vae.first_stage_model = PixelBlocksVAE(block).eval()
    vae.downscale_ratio = vae.upscale_ratio = block
    vae.latent_channels = pixel_channels(block)
    remember_dtypes(vae.first_stage_model)
    devices = {name: getattr(vae.patcher, name) for name in ("load_device", "offload_device")}
    vae.patcher = type(vae.patcher)(vae.first_stage_model, **devices)
    return vae
