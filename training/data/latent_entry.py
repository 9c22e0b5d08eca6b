"""One cached latent: a small safetensors file that knows whether it is whole."""

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
    """A picture as the network sees it.

    Attributes:
        mean, std: mean and standard deviation, each [C, h, w] float32.
        mask: [1, h, w] float32, the opaque part of each latent pixel from 0 to 1; None where that is all of it, or is
            not asked for.
    """

    mean: Tensor
    std: Tensor
    mask: Tensor | None = None


def entry_key(picture: str, codec: str, size: Size, flip: bool, encoding: Mapping[str, str]) -> str:
    """The name of a latent: all that decides its values.

    Args:
        picture: sha256 of the file's bytes.
        codec: digest of the VAE.
        size: of the bucket.
        flip: whether the picture is mirrored.
        encoding: whatever else decides, such as the precision of the encoder.
    """
    parts = [DECODE_VERSION, picture, codec, *size, flip, sorted(encoding.items())]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def entry_path(folder: Path, key: str) -> Path:
    """Spread over 256 folders, which file systems and people can list."""
    return folder / key[:2] / f"{key}{SUFFIX}"


def _digest(key: str, mean: Tensor, std: Tensor | None, mask: Tensor | None) -> Tensor:
    """[32] uint8: over the name too, so that a file under another's name is none."""
    digest = hashlib.sha256(f"{key}/{tuple(mean.shape)}/{mean.dtype}".encode())
    for tensor in (mean, std, mask):
        if tensor is not None:
            digest.update(tensor.numpy().tobytes())
    return torch.frombuffer(bytearray(digest.digest()), dtype=torch.uint8)


def write_entry(folder: Path, key: str, latent: Latent) -> None:
    """Write a latent, whole or not at all; a deviation of 0 takes no space.

    Nobody waits for the disk, which takes longer than all else where latents are small: an entry that a power failure
    tears is none to `read_entry`, and made again.

    Raises:
        OSError: no space, no permission.
    """
    std = latent.std if bool(latent.std.any()) else None
    mean, std, mask = (None if value is None else _stored(value) for value in (latent.mean, std, latent.mask))
    assert mean is not None
    write_bytes(entry_path(folder, key), _packed(key, mean, std, mask), wait=False)


def _stored(value: Tensor) -> Tensor:
    return value.detach().to("cpu", torch.float32).contiguous()


def entry_bytes(shape: tuple[int, int, int], deviates: bool, masked: bool = False) -> int:
    """Size of the file of a latent [C, h, w], with a deviation and a mask or without."""
    zeros = torch.zeros(shape)
    return len(_packed("", zeros, zeros.clone() if deviates else None, zeros[:1].clone() if masked else None))


def _packed(key: str, mean: Tensor, std: Tensor | None, mask: Tensor | None) -> bytes:
    tensors = {"mean": mean, "digest": _digest(key, mean, std, mask), "std": std, "mask": mask}
    return save({name: value for name, value in tensors.items() if value is not None})


def read_entry(folder: Path, key: str) -> Latent | None:
    """A latent, or None where it is missing, torn, damaged or another's."""
    try:
        tensors = load(entry_path(folder, key).read_bytes())
    except (OSError, SafetensorError, ValueError, KeyError):
        return None
    mean, std, mask, digest = (tensors.get(name) for name in ("mean", "std", "mask", "digest"))
    if mean is None or digest is None or not torch.equal(digest, _digest(key, mean, std, mask)):
        return None
    return Latent(mean, torch.zeros_like(mean) if std is None else std, mask)
