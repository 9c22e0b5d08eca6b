"""One digest for the weights of a model, the same in every file format."""

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor


def digest_of(tensors: Mapping[str, Tensor], *facts: object) -> str:
    """Return the sha256 of tensors, independent of their file: for each name in sorted order the name, the shape and
    the little-endian float32 bytes, then each fact's repr; a zero byte ends every text.

    Half-precision weights give the same digest in every container, and so does their float32 copy.
    """
    digest = hashlib.sha256()
    for name in sorted(tensors):
        value = tensors[name].detach().to("cpu", torch.float32).contiguous()
        digest.update(f"{name}\0{list(value.shape)}\0".encode())
        digest.update(value.reshape(-1).numpy().astype("<f4", copy=False).data)
    for fact in facts:
        digest.update(f"{fact!r}\0".encode())
    return digest.hexdigest()
