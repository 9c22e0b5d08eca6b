"""Resize masks to the latent, as ComfyUI resizes condition masks (for images) and noise masks (for video)."""

from __future__ import annotations

import torch
from torch import Tensor


def fit_mask(mask: Tensor, latent_shape: torch.Size | tuple[int, ...]) -> Tensor:
    """Resize a mask so that it multiplies a latent.

    Args:
        mask: [H, W] or [N, H, W], values 0 to 1. For images N is 1, a divisor of the batch, or more than the batch:
            surplus masks are ignored. For video the N masks follow each other in time.
        latent_shape: [B, C, h, w] of an image latent, [B, C, T, h, w] of a video latent.

    Returns:
        [B or 1, 1, h, w] for images; [1, 1, T or 1, h, w] for video.

    Raises:
        ValueError: the mask is not two- or three-dimensional, N does not fit the batch, or the latent has no height and
            width.
    """
    if mask.ndim == 2:
        mask = mask.unsqueeze(0)
    if mask.ndim != 3:
        raise ValueError(f"mask: expected [H, W] or [N, H, W], got {list(mask.shape)}; use a MASK, not an image.")
    if len(latent_shape) not in (4, 5):
        raise ValueError(
            f"mask: a latent of shape {list(latent_shape)} has no picture that a mask could lie on; leave it open."
        )
    batch, size = latent_shape[0], tuple(latent_shape[-2:])
    if len(latent_shape) == 5:
        frames = 1 if mask.shape[0] == 1 else latent_shape[2]
        return _resized(mask.float()[None, None], (frames, *size), "trilinear")  # [1, 1, T, h, w]
    mask = _resized(mask.float().unsqueeze(1), size, "bilinear")  # [N, 1, h, w]
    count = mask.shape[0]
    if count > batch:
        mask = mask[:batch]
    elif batch % count:
        raise ValueError(
            f"mask: {count} masks do not fit a batch of {batch} latents; give one mask, or one per latent."
        )
    elif count > 1:
        mask = mask.repeat(batch // count, 1, 1, 1)
    return mask


def _resized(mask: Tensor, size: tuple[int, ...], mode: str) -> Tensor:
    """Resize to [N, 1, *size]; return the same tensor if it has that size."""
    return mask if tuple(mask.shape[2:]) == size else torch.nn.functional.interpolate(mask, size=size, mode=mode)
