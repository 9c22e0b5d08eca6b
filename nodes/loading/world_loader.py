"""Load a small world's folder as MODEL, CLIP and VAE."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from ...gcfg_core.world.page import UNET
from ...gcfg_core.world.world import read_world_files
from .concept_loader import load_concept_file
from .pixel_latents import pixel_vae
from .tiny_vae import colour_previews, tiny_vae
from .world_clip import world_clip

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher
    from comfy.sd import CLIP, VAE

    from ...gcfg_core.world.autoencoder_file import LatentColours


def load_world(folder: Path) -> tuple[ModelPatcher, CLIP, VAE]:
    """Load a world as ComfyUI's own objects, for every node that accepts them.

    Raises:
        ConceptFileError: the folder cannot be used; the message says why and what to do.
    """
    world = read_world_files(folder)
    page = world.page
    clip = world_clip(world.text_encoder, page.title or folder.name)
    logging.info("GCFG: world %r, pictures of %d x %d", page.title, page.resolution, page.resolution)
    if world.vae is None:
        return load_concept_file(str(folder / UNET)), clip, pixel_vae(page.block)
    return _load_coloured(str(folder / UNET), world.vae.colours), clip, tiny_vae(world.vae)


def _load_coloured(path: str, colours: LatentColours, disable_dynamic: bool = False) -> ModelPatcher:
    """Load a world's UNet with its VAE's colours of previews; newer ComfyUI versions call it again for a copy."""
    model = load_concept_file(path, disable_dynamic=disable_dynamic)
    colour_previews(model.model.latent_format, colours)
    model.cached_patcher_init = (_load_coloured, (path, colours))
    return model
