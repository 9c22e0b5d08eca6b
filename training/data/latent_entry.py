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
    """Mean and standard deviation, each [C, h, w] float32."""

    mean: Tensor
    std: Tensor


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


def _digest(key: str, mean: Tensor, std: Tensor | None) -> Tensor:
    """[32] uint8: over the name too, so that a file under another's name is none."""
    digest = hashlib.sha256(f"{key}/{tuple(mean.shape)}/{mean.dtype}".encode())
    for tensor in (mean,) if std is None else (mean, std):
        digest.update(tensor.numpy().tobytes())
    return torch.frombuffer(bytearray(digest.digest()), dtype=torch.uint8)


def write_entry(folder: Path, key: str, latent: Latent) -> None:
    """Write a latent, whole or not at all; a deviation of 0 takes no space.

    Nobody waits for the disk, which takes longer than all else where latents are small: an entry that a power failure
    tears is none to `read_entry`, and made again.

    Raises:
        OSError: no space, no permission.
    """
    mean = latent.mean.detach().to("cpu", torch.float32).contiguous()
    std = latent.std.detach().to("cpu", torch.float32).contiguous() if bool(latent.std.any()) else None
    write_bytes(entry_path(folder, key), _packed(key, mean, std), wait=False)


def entry_bytes(shape: tuple[int, int, int], deviates: bool) -> int:
    """Size of the file of a latent [C, h, w], with a deviation or without."""
    zeros = torch.zeros(shape)
    return len(_packed("", zeros, zeros.clone() if deviates else None))


def _packed(key: str, mean: Tensor, std: Tensor | None) -> bytes:
    tensors = {"mean": mean, "digest": _digest(key, mean, std)}
    return save(tensors if std is None else {**tensors, "std": std})


def read_entry(folder: Path, key: str) -> Latent | None:
    """A latent, or None where it is missing, torn, damaged or another's."""
    try:
        tensors = load(entry_path(folder, key).read_bytes())
    except (OSError, SafetensorError, ValueError, KeyError):
        return None
    mean, std, digest = tensors.get("mean"), tensors.get("std"), tensors.get("digest")
    if mean is None or digest is None or not torch.equal(digest, _digest(key, mean, std)):
        return None
    return Latent(mean, torch.zeros_like(mean) if std is None else std)
