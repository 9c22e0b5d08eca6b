"""Pass pictures and latents through an autoencoder a few at a time, in float32."""

from collections.abc import Callable

import torch
from torch import Tensor


def in_chunks(work: Callable[[Tensor], Tensor], batch: Tensor, size: int, device: torch.device, dim: int = 0) -> Tensor:
    """Return the results of ``work`` on ``size`` rows of a batch at a time, joined along ``dim``.

    Args:
        device: to compute on.
    """
    with torch.autocast(device.type, enabled=False):
        return torch.cat([work(part.to(device, torch.float32)) for part in batch.split(size)], dim=dim)


def check_sides(pixels: Tensor, factor: int) -> None:
    """Raise ValueError unless ``factor`` divides both sides of pictures [..., H, W]."""
    if pixels.shape[-2] % factor or pixels.shape[-1] % factor:
        raise ValueError(f"pixels: expected sides that {factor} divides, got {list(pixels.shape)}")
