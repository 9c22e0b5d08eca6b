"""A small world's VAE in ComfyUI, and the colours that it gives to previews."""

from __future__ import annotations

import comfy.latent_formats
import comfy.ops
import comfy.sd
import torch

from ...gcfg_core.world.autoencoder_file import LatentColours, StoredAutoencoder
from .own_vae import with_network


def tiny_vae(stored: StoredAutoencoder) -> comfy.sd.VAE:
    """Make ComfyUI's VAE for TAESD with the narrow network in place of ComfyUI's of 64 channels, in float32 on every
    device. It is saved with 64 channels."""
    vae = comfy.sd.VAE(sd=stored.comfyui_tensors(), dtype=torch.float32)
    vae = with_network(vae, stored.network(comfy.ops.disable_weight_init.Conv2d))
    vae.get_sd = stored.comfyui_tensors
    return vae


def colour_previews(latent_format: comfy.latent_formats.LatentFormat, colours: LatentColours) -> None:
    """Give a model's latent format the colours of its VAE's latents, for previews while sampling."""
    latent_format.latent_rgb_factors = [list(row) for row in colours.factors]
    latent_format.latent_rgb_factors_bias = list(colours.bias)
