"""Put a network of our own into ComfyUI's VAE object."""

from __future__ import annotations

import comfy.sd
import torch

from ..comfyui.versions import remember_dtypes


def with_network(vae: comfy.sd.VAE, network: torch.nn.Module) -> comfy.sd.VAE:
    """Replace a VAE's network; the new network has the methods that ComfyUI calls on an autoencoder."""
    vae.first_stage_model = network.eval()
    vae.size = None  # ComfyUI measures it when it needs it
    remember_dtypes(network)
    devices = {name: getattr(vae.patcher, name) for name in ("load_device", "offload_device")}
    vae.patcher = type(vae.patcher)(network, **devices)
    return vae
