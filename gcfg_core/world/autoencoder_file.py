"""The file of a small world's VAE.

One .safetensors file. Tensors: TAESD's in ComfyUI's names, with zeros in the channels that the network lacks; ComfyUI's
"Load VAE" reads it. Metadata, all strings: `gcfg.format` = "1", `gcfg.kind` = "tiny-autoencoder", `gcfg.widths` (JSON,
channels at each resolution), `gcfg.latent_rgb` (JSON, the colours of previews) and `gcfg.training` (JSON, facts).
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from ..concept.tensor_check import check_tensors
from ..concept.tensor_file import write_tensors
from ..concept.world_latents import TINY_FORMATS
from ..errors import ConceptFileError
from .part_file import AGAIN, json_value, open_part, part_metadata
from .tiny_autoencoder import FULL, LEVELS, TinyAutoencoder, padded, tensor_shapes

KIND = "tiny-autoencoder"
WIDTHS_KEY, COLOURS_KEY, TRAINING_KEY = "gcfg.widths", "gcfg.latent_rgb", "gcfg.training"
SCALE = {"vae_scale": 1.0, "vae_shift": 0.0}  # tensors of ComfyUI's network, at its defaults


@dataclass(frozen=True)
class LatentColours:
    """The linear map from latents to colours in previews, as in ComfyUI's latent formats.

    Attributes:
        factors: red, green and blue in -1..1 for each latent channel.
        bias: red, green and blue of a latent of zeros.
    """

    factors: tuple[tuple[float, ...], ...]
    bias: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class StoredAutoencoder:
    """A tiny autoencoder in memory.

    Attributes:
        tensors: of `TinyAutoencoder`, by name.
        widths, channels: its arguments.
        colours: of previews.
        training: facts about the training, as JSON values.
    """

    tensors: Mapping[str, Tensor]
    widths: tuple[int, ...]
    channels: int
    colours: LatentColours
    training: Mapping[str, Any] = field(default_factory=dict)

    def network(self, kind: type[nn.Conv2d] = nn.Conv2d) -> TinyAutoencoder:
        """Return the network in float32 on the CPU, in eval mode, not to be trained, with convolutions of a class."""
        network = TinyAutoencoder(self.widths, self.channels, kind)
        network.load_state_dict({key: value.float() for key, value in self.tensors.items()})
        return network.eval().requires_grad_(False)

    def comfyui_tensors(self) -> dict[str, Tensor]:
        """Return the state dict of ComfyUI's TAESD."""
        scale = {key: torch.tensor(value) for key, value in SCALE.items()}
        return {**padded(self.tensors, self.channels), **scale}


def read_autoencoder(path: str | os.PathLike[str]) -> StoredAutoencoder:
    """Read and check a tiny autoencoder's file.

    Raises:
        ConceptFileError: the file is damaged, incomplete, of another kind, or of a newer format.
    """
    with open_part(path, KIND, "Give the VAE of a world.") as (tensors, metadata):
        training = json_value(metadata, TRAINING_KEY)
        stored = _stored(tensors, _widths(metadata), _colours(metadata))
        return replace(stored, training=training if isinstance(training, dict) else {})


def write_autoencoder(path: str | os.PathLike[str], stored: StoredAutoencoder) -> None:
    """Write a tiny autoencoder's file, all of it or nothing (see `write_tensors`).

    Raises:
        OSError, SafetensorError: writing failed; an existing file is unchanged.
    """
    metadata = {
        **part_metadata(KIND),
        WIDTHS_KEY: json.dumps(stored.widths),
        COLOURS_KEY: json.dumps([stored.colours.factors, stored.colours.bias]),
        TRAINING_KEY: json.dumps(dict(stored.training), sort_keys=True),
    }
    write_tensors(path, stored.comfyui_tensors(), metadata)


def _stored(tensors: Mapping[str, Tensor], widths: tuple[int, ...], colours: LatentColours) -> StoredAutoencoder:
    channels = len(colours.factors)
    if channels not in TINY_FORMATS:
        raise ConceptFileError(COLOURS_KEY, f"{', '.join(map(str, TINY_FORMATS))} channels", str(channels), AGAIN)
    full = {key: value for key, value in tensors.items() if key not in SCALE}
    check_tensors("tensors", KIND, full, tensor_shapes((FULL,) * LEVELS, channels), AGAIN)
    own = tensor_shapes(widths, channels)
    cropped = {key: full[key][tuple(map(slice, shape))].clone() for key, shape in own.items()}
    odd = next((key for key, value in padded(cropped, channels).items() if not torch.equal(value, full[key])), None)
    if odd:
        raise ConceptFileError(odd, f"zeros outside {list(own[odd])}", "other values", AGAIN)
    return StoredAutoencoder(cropped, widths, channels, colours)


def _widths(metadata: Mapping[str, str]) -> tuple[int, ...]:
    widths = json_value(metadata, WIDTHS_KEY)
    fits = isinstance(widths, list) and len(widths) == LEVELS
    if not fits or not all(type(width) is int and 0 < width <= FULL for width in widths):
        raise ConceptFileError(WIDTHS_KEY, f"{LEVELS} whole numbers from 1 to {FULL}", repr(widths)[:40], AGAIN)
    return tuple(widths)


def _colours(metadata: Mapping[str, str]) -> LatentColours:
    given = json_value(metadata, COLOURS_KEY)
    try:
        factors, bias = given
        rows = [tuple(map(float, row)) for row in (*factors, bias)]
    except (TypeError, ValueError):
        rows = []
    if len(rows) < 2 or any(len(row) != 3 for row in rows):
        expected = "three numbers for each latent channel, and a bias"
        raise ConceptFileError(COLOURS_KEY, expected, repr(given)[:40], AGAIN)
    return LatentColours(tuple(rows[:-1]), rows[-1])
