"""Small worlds with random weights, made by the trainer's own code, and concepts of them."""

from pathlib import Path
from typing import Any

import torch

from gcfg_core.concept.concept import Concept
from gcfg_core.concept.concept_file import write_concept
from gcfg_core.concept.null_text import remove_text_attention
from gcfg_core.concept.world_latents import TINY_FACTOR
from gcfg_core.world.autoencoder_file import LatentColours, StoredAutoencoder
from gcfg_core.world.tiny_autoencoder import TinyAutoencoder
from rigs.null_text import make_text_constant
from training.base.model import Base
from training.base.world_codec import TinyCodec
from training.base.world_config import WorldConfig
from training.base.world_new import new_world
from training.base.world_write import write_world

CAPTIONS = ["a red face, smiling", "a blue hat and a green face", "a yellow ball (on a blue chair)"]
TINY: dict[str, Any] = {
    "channels": (32, 64),
    "attention": (False, True),
    "heads": 2,
    "context": 48,
    "text_layers": 2,
    "text_heads": 2,
    "tokens": 12,
    "resolution": 16,
}


def tiny_autoencoder(channels: int = 8, seed: int = 0) -> StoredAutoencoder:
    """Make a VAE with random weights, of the kind that worlds have."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = TinyAutoencoder((4, 8, 8, 12), channels)
    colours = LatentColours(tuple((0.1 * row, 0.2, -0.1) for row in range(channels)), (0.1, 0.0, -0.1))
    halved = {key: value.half() for key, value in network.state_dict().items()}
    return StoredAutoencoder(halved, network.widths, channels, colours)


def tiny_world(factor: int = 1, seed: int = 0, vae: StoredAutoencoder | None = None) -> Base:
    """Make a world with perturbed norms and biases in its text encoder, so that an error in them is visible.

    Args:
        factor: pixels of a picture per position of its latents, along each side: 1, 2 or 4 for pixels in blocks, 8 for
            a VAE's latents.
        seed: of the weights.
        vae: its VAE; default: `tiny_autoencoder`.
    """
    vae = vae or (tiny_autoencoder() if factor == TINY_FACTOR else None)
    config = WorldConfig(**TINY, block=1 if vae else factor, seed=seed)  # type: ignore[arg-type]
    base = new_world(config, CAPTIONS, "tiny", TinyCodec(vae) if vae else None)
    made = torch.Generator().manual_seed(1)
    for parameter in base.text.parameters():  # type: ignore[union-attr]
        parameter.data.add_(torch.randn(parameter.shape, generator=made) * 0.2)
    base.null = base.text.encode([""])  # type: ignore[union-attr]
    return base


def write_tiny_world(folder: Path, base: Base, title: str = "Tiny world") -> Path:
    """Write the world's folder."""
    write_world(folder, base, title=title)
    return folder


def write_tiny_concept(path: Path, factor: int = 1, seed: int = 3, vae: StoredAutoencoder | None = None) -> Path:
    """Write a null-text concept in the latent space of `tiny_world`, with random constants."""
    base = tiny_world(factor, seed, vae)
    remove_text_attention(base.unet, make_text_constant(base.unet))
    concept = Concept(
        tensors=base.unet.state_dict(), config=base.config, prediction_type=base.schedule.prediction_type,
        zero_terminal_snr=base.schedule.zero_terminal_snr, latent_format=base.latent_format, vae=base.vae,
        title="Tiny concept",
    )  # fmt: skip
    write_concept(path, concept)
    return path
