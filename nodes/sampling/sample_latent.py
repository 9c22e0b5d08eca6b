"""Sample a LATENT with a guider, as KSampler does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import comfy.sample
import comfy.samplers
import comfy.utils
import latent_preview
import torch

from ..comfyui.versions import EMPTY_LATENT_HINTS, fit_latent, to_intermediate
from .guider import GCFGGuider

Callback = Callable[[int, torch.Tensor, torch.Tensor, int], None]
"""Called by samplers after a step with its number from 0, x0 and x [B, C, ...], and the number of steps."""


def sampling_sigmas(model: Any, sampler_name: str, scheduler: str, steps: int, denoise: float) -> torch.Tensor:
    """Return KSampler's sigmas, [steps + 1]; empty if denoise is 0."""
    device = torch.device("cpu")
    return comfy.samplers.KSampler(model, steps, device, sampler_name, scheduler, denoise, model.model_options).sigmas


def sample_latent(
    guider: GCFGGuider, latent: dict[str, Any], seed: int, sampler_name: str, sigmas: torch.Tensor,
    callback: Callback | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Denoise ``latent``: "samples" [B, C, ...], optional "noise_mask", "batch_index"; every other entry is kept.

    Args:
        callback: called after every step; by default it shows progress and previews of this run alone.
    """
    model = guider.model_patcher
    samples = fit_latent(model, latent)
    noise = comfy.sample.prepare_noise(samples, seed, latent.get("batch_index"))
    callback = callback or latent_preview.prepare_callback(model, max(len(sigmas) - 1, 0))
    result = guider.sample(
        noise,
        samples,
        comfy.samplers.sampler_object(sampler_name),
        sigmas,
        denoise_mask=latent.get("noise_mask"),
        callback=callback,
        disable_pbar=not comfy.utils.PROGRESS_BAR_ENABLED,
        seed=seed,
    )
    kept = {name: value for name, value in latent.items() if name not in EMPTY_LATENT_HINTS}
    return {**kept, "samples": to_intermediate(result)}
