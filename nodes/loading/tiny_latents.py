"""The latent formats of small worlds with a VAE."""

from __future__ import annotations

import comfy.latent_formats

from ...gcfg_core.concept.world_latents import TINY_FACTOR, TINY_FORMATS


class TinyLatents(comfy.latent_formats.LatentFormat):
    """Latents of unit variance. Previews have no colours until a world gives them.

    Args:
        vae: digest of the VAE that makes them; empty if it is not known.
    """

    spacial_downscale_ratio = TINY_FACTOR

    def __init__(self, vae: str = "") -> None:
        self.vae = vae


TINY_LATENTS = {
    name: type(name, (TinyLatents,), {"latent_channels": channels}) for channels, name in TINY_FORMATS.items()
}
