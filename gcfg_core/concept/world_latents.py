"""The latent formats of small worlds: pixels, blocks of pixels, or the latents of a VAE."""

from .pixel_latents import PIXEL_FORMATS, pixel_channels

TINY_FORMATS = {4: "TinyLatents4", 8: "TinyLatents8", 16: "TinyLatents16"}
"""Names of the formats of a `TinyAutoencoder`'s latents by their channels. Latents have unit variance."""

TINY_FACTOR = 8
"""Pixels of a picture per position of a `TinyAutoencoder`'s latents, along each side."""

WORLD_FORMATS = (*PIXEL_FORMATS.values(), *TINY_FORMATS.values())


def format_of_channels(channels: int) -> str:
    """Return the format of a network's latents with this many channels; "" for 4, which Stable Diffusion has too, and
    for numbers that no format has."""
    known = {pixel_channels(block): name for block, name in PIXEL_FORMATS.items()}
    return (known | TINY_FORMATS).get(channels, "") if channels != 4 else ""
