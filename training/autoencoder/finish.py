"""Turn a trained autoencoder into the one that is stored: fp16, with the colours of previews."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from gcfg_core.concept.world_latents import TINY_FACTOR
from gcfg_core.world.autoencoder_file import LatentColours, StoredAutoencoder
from gcfg_core.world.tiny_autoencoder import TinyAutoencoder

from ..base.weights import check_finite
from .pictures import batches

BATCH = 32


@torch.no_grad()
def stored_autoencoder(network: TinyAutoencoder, pictures: Sequence[Path]) -> StoredAutoencoder:
    """Round a network to fp16, and fit the colours of previews to pictures of one size.

    Raises:
        InputError: a weight is not finite in fp16.
        OSError: a picture cannot be read.
    """
    tensors = {key: value.half() for key, value in network.state_dict().items()}
    check_finite(tensors, "VAE")
    latents = torch.cat([network.encode(part) for part in batches(pictures, BATCH)])
    return StoredAutoencoder(tensors, network.widths, network.channels, _colours(latents, pictures))


def _colours(latents: Tensor, pictures: Sequence[Path]) -> LatentColours:
    """Fit the linear map from latents to the mean colours of their blocks of pixels, by least squares."""
    blocks = torch.cat([avg_pool2d(part, TINY_FACTOR) for part in batches(pictures, BATCH)]).double()
    inputs = latents.double().movedim(1, -1).flatten(0, 2)
    inputs = torch.cat([inputs, inputs.new_ones(len(inputs), 1)], 1)
    found = torch.linalg.lstsq(inputs, blocks.movedim(1, -1).flatten(0, 2)).solution
    rows = [tuple(round(value, 4) for value in row) for row in found.tolist()]
    return LatentColours(tuple(rows[:-1]), rows[-1])
