"""The latents of a small world's VAE in ComfyUI: latent formats, and the VAE."""

from __future__ import annotations

import comfy.latent_formats
import comfy.ops
import comfy.sd
import torch

from ...gcfg_core.concept.world_latents import TINY_FACTOR
from ...gcfg_core.world.autoencoder_file import StoredAutoencoder
from .own_vae import with_network


class TinyLatents4(comfy.latent_formats.LatentFormat):
    """Latents of unit variance, 4 channels. Previews have no colours until a world gives them.

    Args:
        vae: digest of the VAE that makes them; empty if it is not known.
    """

    latent_channels = 4
    spacial_downscale_ratio = TINY_FACTOR

    def __init__(self, vae: str = "") -> None:
        self.vae = vae


class TinyLatents8(TinyLatents4):
    """The same, 8 channels."""

    latent_channels = 8


class TinyLatents16(TinyLatents4):
    """The same, 16 channels."""

    latent_channels = 16


TINY_LATENTS = {format_.__name__: format_ for format_ in (TinyLatents4, TinyLatents8, TinyLatents16)}


def tiny_vae(stored: StoredAutoencoder) -> comfy.sd.VAE:
    """Make ComfyUI's VAE for TAESD with the narrow network in place of ComfyUI's of 64 channels, in float32 on every
    device. It is saved with 64 channels."""
    vae = comfy.sd.VAE(sd=stored.comfyui_tensors(), dtype=torch.float32)
    vae = with_network(vae, stored.network(comfy.ops.disable_weight_init.Conv2d))
    vae.get_sd = stored.comfyui_tensors
    return vae


def colour_previews(latent_format: comfy.latent_formats.LatentFormat, stored: StoredAutoencoder) -> None:
    """Give a model's latent format the colours of its VAE's latents, for previews while sampling."""
    latent_format.latent_rgb_factors = [list(row) for row in stored.colours.factors]
    latent_format.latent_rgb_factors_bias = list(stored.colours.bias)
