"""Rescale of the guided result (Common Diffusion Noise Schedules and Sample Steps are Flawed, arXiv 2305.08891)."""

from __future__ import annotations

from torch import Tensor

from .parameterization import denoised_to_v, denoised_to_velocity, v_to_denoised, velocity_to_denoised


def _std(v: Tensor) -> Tensor:
    """Standard deviation of each sample: [B, ...] -> [B, 1, ...]."""
    return v.flatten(1).std(1).view(-1, *[1] * (v.ndim - 1))


def rescale_result(
    x: Tensor, denoised: Tensor, positive: Tensor, sigma: Tensor, share: float, *, flow: bool = False
) -> Tensor:
    """Pull the result's standard deviation towards that of one unguided prediction (Section 3.4, Eq. 16).

    Deviation: the paper knows one positive prediction; a graph has several, so the caller names one. As in the paper
    the deviation is measured on the v (for flow models the velocity) of each prediction.

    Args:
        x, denoised, positive: [B, ...]; sigma: [B]; share: phi of the paper, 0 neutral, the paper uses 0.7.
    """
    sigma = sigma.view(-1, *[1] * (x.ndim - 1))
    forward, back = (denoised_to_velocity, velocity_to_denoised) if flow else (denoised_to_v, v_to_denoised)
    guided = forward(x, denoised, sigma)
    rescaled = guided * (_std(forward(x, positive, sigma)) / _std(guided))
    return back(x, share * rescaled + (1.0 - share) * guided, sigma)
