"""A cached latent: a small safetensors file with a hash of its content."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from ..durable import write_bytes
from .picture import Size
from .pixels import DECODE_VERSION

SUFFIX = ".latent.safetensors"


class Latent(NamedTuple):
    """A picture's latent.

    Attributes:
        mean, std: mean and standard deviation, each [C, h, w] float32.
        mask: [1, h, w] float32, the opaque share of each latent pixel from 0 to 1; None if all is opaque or masks are
            off.
    """

    mean: Tensor
    std: Tensor
    mask: Tensor | None = None


def entry_key(picture: str, codec: str, size: Size, flip: bool, encoding: Mapping[str, str]) -> str:
    """Return the key of a latent: a hash of everything that determines its values.

    Args:
        picture: sha256 of the file's bytes.
        codec: digest of the VAE.
        size: of the bucket.
        flip: True if the picture is mirrored.
        encoding: further facts that determine it, for example the encoder's precision.
    """
    parts = [DECODE_VERSION, picture, codec, *size, flip, sorted(encoding.items())]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def entry_path(folder: Path, key: str) -> Path:
    """Return an entry's path; entries are spread over 256 folders to keep listings short."""
    return folder / key[:2] / f"{key}{SUFFIX}"


def _digest(key: str, mean: Tensor, std: Tensor | None, mask: Tensor | None) -> Tensor:
    """Return the hash [32] uint8; it includes the key, so that a renamed file is invalid."""
    digest = hashlib.sha256(f"{key}/{tuple(mean.shape)}/{mean.dtype}".encode())
    for tensor in (mean, std, mask):
        if tensor is not None:
            digest.update(tensor.numpy().tobytes())
    return torch.frombuffer(bytearray(digest.digest()), dtype=torch.uint8)


def write_entry(folder: Path, key: str, latent: Latent) -> None:
    """Write a latent completely or not at all; a deviation of 0 takes no space.

    The file is not flushed, which would dominate the time of small latents: `read_entry` rejects an entry that a power
    failure damaged, and it is made again.

    Raises:
        OSError: no space or permission.
    """
    std = latent.std if bool(latent.std.any()) else None
    mean, std, mask = (None if value is None else _stored(value) for value in (latent.mean, std, latent.mask))
    assert mean is not None
    write_bytes(entry_path(folder, key), _packed(key, mean, std, mask), wait=False)


def _stored(value: Tensor) -> Tensor:
    return value.detach().to("cpu", torch.float32).contiguous()


def entry_bytes(shape: tuple[int, int, int], deviates: bool, masked: bool = False) -> int:
    """Return the file size of a latent [C, h, w], with or without deviation and mask."""
    zeros = torch.zeros(shape)
    return len(_packed("", zeros, zeros.clone() if deviates else None, zeros[:1].clone() if masked else None))


def _packed(key: str, mean: Tensor, std: Tensor | None, mask: Tensor | None) -> bytes:
    tensors = {"mean": mean, "digest": _digest(key, mean, std, mask), "std": std, "mask": mask}
    return save({name: value for name, value in tensors.items() if value is not None})


def read_entry(folder: Path, key: str) -> Latent | None:
    """Read a latent; None if it is missing, damaged, or stored under another key."""
    try:
        tensors = load(entry_path(folder, key).read_bytes())
    except (OSError, SafetensorError, ValueError, KeyError):
        return None
    mean, std, mask, digest = (tensors.get(name) for name in ("mean", "std", "mask", "digest"))
    if mean is None or digest is None or not torch.equal(digest, _digest(key, mean, std, mask)):
        return None
    return Latent(mean, torch.zeros_like(mean) if std is None else std, mask)
