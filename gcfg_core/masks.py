"""Masks: brought to the latent's size as ComfyUI brings condition masks to it, bilinearly."""

from __future__ import annotations

import torch
from torch import Tensor


def fit_mask(mask: Tensor, latent_shape: torch.Size | tuple[int, ...]) -> Tensor:
    """Resize a mask so that it multiplies a latent.

    Args:
        mask: [H, W] or [N, H, W], values 0 to 1. N is 1, a divisor of the batch, or for video latents the number of
            latent frames.
        latent_shape: [B, C, ..., h, w] of the latent, image or video.

    Returns:
        [B or 1, 1, h, w] for images; [B or 1, 1, T or 1, h, w] for video.

    Raises:
        ValueError: the mask is not two- or three-dimensional, or N fits neither batch nor frames.
    """
    if mask.ndim == 2:
        mask = mask.unsqueeze(0)
    if mask.ndim != 3:
        raise ValueError(f"mask: expected [H, W] or [N, H, W], got {list(mask.shape)}; use a MASK, not an image.")
    batch, inner, size = latent_shape[0], tuple(latent_shape[2:-2]), tuple(latent_shape[-2:])
    mask = mask.float().unsqueeze(1)  # [N, 1, H, W]
    if tuple(mask.shape[-2:]) != size:
        mask = torch.nn.functional.interpolate(mask, size=size, mode="bilinear")
    count = mask.shape[0]
    if inner and count > 1 and count == inner[0]:
        return mask.squeeze(1)[None, None]  # [1, 1, T, h, w]
    if count > batch:
        mask = mask[:batch]
    elif batch % count:
        raise ValueError(
            f"mask: {count} masks do not fit a batch of {batch} latents; give one mask, one per latent, or for video "
            "one per latent frame."
        )
    elif count > 1:
        mask = mask.repeat(batch // count, 1, 1, 1)
    return mask.view(mask.shape[0], 1, *[1] * len(inner), *size)
