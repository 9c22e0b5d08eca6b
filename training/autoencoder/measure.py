"""Measure what an autoencoder loses: PSNR, and the distance of EfficientNet's features."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from gcfg_core.world.tiny_autoencoder import TinyAutoencoder

from .loss import ReconstructionLoss
from .pictures import batches

BATCH = 16


@dataclass(frozen=True)
class Losses:
    """Means over pictures.

    Attributes:
        psnr: peak signal-to-noise ratio in dB, of pixels clamped to the range.
        features: `ReconstructionLoss.features`.
        latent_mean, latent_deviation: largest |mean| of a latent channel, and the standard deviation of all values.
    """

    psnr: float
    features: float
    latent_mean: float
    latent_deviation: float


@torch.no_grad()
def losses(network: TinyAutoencoder, pictures: Sequence[Path]) -> Losses:
    """Encode and decode pictures of one size, and compare.

    Raises:
        InputError: the weights of EfficientNet-Lite0 are missing.
        OSError: a picture cannot be read.
    """
    distance, latents, noise, features = ReconstructionLoss(0.0), [], [], []
    for wanted in batches(pictures, BATCH):
        latents.append(network.encode(wanted))
        found = network.decode(latents[-1]).clamp(-1.0, 1.0)
        noise.append((found - wanted).square().mean((1, 2, 3)) / 4.0)  # the range is 2 wide
        features += [distance.features(found, wanted)] * len(wanted)
    every = torch.cat(latents)
    numbers = (
        -10.0 * torch.cat(noise).log10().mean(),
        torch.stack(features).mean(),
        every.mean((0, 2, 3)).abs().max(),
        every.std(),
    )
    return Losses(*(round(float(number), 4) for number in numbers))
