"""Small worlds with random weights, made by the trainer's own code, and concepts of them."""

from pathlib import Path
from typing import Any

import torch

from gcfg_core.concept.concept import Concept
from gcfg_core.concept.concept_file import write_concept
from gcfg_core.concept.null_text import remove_text_attention
from rigs.null_text import make_text_constant
from training.base.model import Base
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


def tiny_world(block: int = 1, seed: int = 0) -> Base:
    """Make a world with perturbed norms and biases in its text encoder, so that an error in them is visible."""
    base = new_world(WorldConfig(**TINY, block=block, seed=seed), CAPTIONS, "tiny")  # type: ignore[arg-type]
    made = torch.Generator().manual_seed(1)
    for parameter in base.text.parameters():  # type: ignore[union-attr]
        parameter.data.add_(torch.randn(parameter.shape, generator=made) * 0.2)
    base.null = base.text.encode([""])  # type: ignore[union-attr]
    return base


def write_tiny_world(folder: Path, base: Base, title: str = "Tiny world") -> Path:
    """Write the folder, with world.json, UNet and text encoder."""
    write_world(folder, base, title=title)
    return folder


def write_tiny_concept(path: Path, block: int = 1, seed: int = 3) -> Path:
    """Write a null-text concept in the latent space of `tiny_world`, with random constants."""
    base = tiny_world(block, seed)
    remove_text_attention(base.unet, make_text_constant(base.unet))
    concept = Concept(
        tensors=base.unet.state_dict(), config=base.config, prediction_type=base.schedule.prediction_type,
        zero_terminal_snr=base.schedule.zero_terminal_snr, latent_format=base.latent_format, title="Tiny concept",
    )  # fmt: skip
    write_concept(path, concept)
    return path
