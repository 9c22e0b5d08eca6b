"""Load a small world's folder as MODEL, CLIP, VAE and an empty LATENT."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import comfy.model_management
import torch

from ...gcfg_core.concept.world_latents import TINY_FACTOR
from ...gcfg_core.world.page import UNET
from ...gcfg_core.world.world import World, read_world_files
from .concept_loader import load_concept_file
from .pixel_latents import pixel_vae
from .tiny_vae import colour_previews, tiny_vae
from .world_clip import world_clip

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher
    from comfy.sd import CLIP, VAE

    from ...gcfg_core.world.autoencoder_file import LatentColours


def load_world(folder: Path) -> tuple[ModelPatcher, CLIP, VAE, dict[str, Any]]:
    """Load a world as ComfyUI's own objects, for every node that accepts them; the last is an empty latent of one
    picture of the size that the world was trained on.

    Raises:
        ConceptFileError: the folder cannot be used; the message says why and what to do.
    """
    world = read_world_files(folder)
    page = world.page
    clip = world_clip(world.text_encoder, page.title or folder.name)
    logging.info("GCFG: world %r, pictures of %d x %d", page.title, page.resolution, page.resolution)
    if world.vae is None:
        model, vae = load_concept_file(str(folder / UNET)), pixel_vae(page.block)
    else:
        model, vae = _load_coloured(str(folder / UNET), world.vae.colours), tiny_vae(world.vae)
    return model, clip, vae, _empty_latent(world, model)


def _empty_latent(world: World, model: ModelPatcher) -> dict[str, Any]:
    side = world.page.resolution // (TINY_FACTOR if world.vae else world.page.block)
    channels = model.get_model_object("latent_format").latent_channels
    return {"samples": torch.zeros(1, channels, side, side, device=comfy.model_management.intermediate_device())}


def _load_coloured(path: str, colours: LatentColours, disable_dynamic: bool = False) -> ModelPatcher:
    """Load a world's UNet with its VAE's colours of previews; newer ComfyUI versions call it again for a copy."""
    model = load_concept_file(path, disable_dynamic=disable_dynamic)
    colour_previews(model.model.latent_format, colours)
    model.cached_patcher_init = (_load_coloured, (path, colours))
    return model
