"""Parameterizations: conversions between eps, v, velocity and denoised (x0), and between VE and flow time.

ComfyUI's convention for eps and v models is variance exploding: x = x0 + sigma * eps (EDM, arXiv 2206.00364).
Flow models use x = (1 - s) * x0 + s * eps with s in 0..1 (rectified flow, arXiv 2209.03003).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

Scale = Tensor | float


@dataclass(frozen=True)
class NetworkOutput:
    """What a DDPM network is trained to predict, in the coordinates x_t = signal * x0 + deviation * eps.

    signal^2 + deviation^2 = 1.

    Attributes:
        target: returns the correct prediction from x0, eps, signal and deviation.
        denoised: returns x0 from x_t, the network's output, signal and deviation.
        x0_weight: the weight that an error of x0 has at a signal-to-noise ratio, by which min-SNR weights divide (arXiv
            2303.09556, Section 3.4).
    """

    target: Callable[[Tensor, Tensor, Scale, Scale], Tensor]
    denoised: Callable[[Tensor, Tensor, Scale, Scale], Tensor]
    x0_weight: Callable[[Tensor], Tensor]


NETWORK_OUTPUTS = {
    "epsilon": NetworkOutput(
        target=lambda x0, eps, signal, deviation: eps,
        denoised=lambda x_t, eps, signal, deviation: (x_t - deviation * eps) / signal,
        x0_weight=lambda snr: snr,
    ),
    "v_prediction": NetworkOutput(  # v = signal * eps - deviation * x0 (progressive distillation, arXiv 2202.00512)
        target=lambda x0, eps, signal, deviation: signal * eps - deviation * x0,
        denoised=lambda x_t, v, signal, deviation: signal * x_t - deviation * v,
        x0_weight=lambda snr: snr + 1.0,
    ),
}


def eps_to_denoised(x: Tensor, eps: Tensor, sigma: Tensor | float) -> Tensor:
    """x0 = x - sigma * eps."""
    return x - sigma * eps


def denoised_to_eps(x: Tensor, denoised: Tensor, sigma: Tensor | float) -> Tensor:
    """eps = (x - x0) / sigma."""
    return (x - denoised) / sigma


def v_to_denoised(x: Tensor, v: Tensor, sigma: Tensor | float) -> Tensor:
    """x0 = x / (sigma^2 + 1) - v * sigma / sqrt(sigma^2 + 1) (progressive distillation, arXiv 2202.00512, VE form)."""
    square = sigma * sigma + 1.0
    return x / square - v * sigma / square**0.5


def denoised_to_v(x: Tensor, denoised: Tensor, sigma: Tensor | float) -> Tensor:
    """v = (x / (sigma^2 + 1) - x0) * sqrt(sigma^2 + 1) / sigma: the inverse of v_to_denoised."""
    square = sigma * sigma + 1.0
    return (x / square - denoised) * square**0.5 / sigma


def velocity_to_denoised(x: Tensor, velocity: Tensor, sigma: Tensor | float) -> Tensor:
    """x0 = x - s * velocity (rectified flow)."""
    return x - sigma * velocity


def denoised_to_velocity(x: Tensor, denoised: Tensor, sigma: Tensor | float) -> Tensor:
    """velocity = (x - x0) / s (rectified flow)."""
    return (x - denoised) / sigma


def ve_to_flow(x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
    """Convert (x, sigma) of a VE model to (x, s) of a flow model: s = sigma / (1 + sigma), x / (1 + sigma). sigma:
    [B]."""
    scale = 1.0 + sigma
    return x / scale.view(-1, *[1] * (x.ndim - 1)), sigma / scale


def hold_sigma(x: Tensor, sigma: Tensor, largest: float) -> tuple[Tensor, Tensor]:
    """Limit (x, sigma) of a VE model to its ``largest`` sigma, and scale x to the noise of that sigma. sigma: [B].

    x0 + sigma * eps becomes (largest / sigma) * x0 + largest * eps, where x0 is negligible in both. Without the limit
    a network's small error in eps would be multiplied by sigma.
    """
    factor = (largest / sigma).clamp_max(1.0)
    return x * factor.view(-1, *[1] * (x.ndim - 1)), sigma * factor


def flow_to_ve(x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
    """Convert (x, s) of a flow model to (x, sigma) of a VE model: sigma = s / (1 - s), x / (1 - s); s: [B], kept
    under 1."""
    scale = 1.0 - sigma.clamp_max(1.0 - 1e-4)
    return x / scale.view(-1, *[1] * (x.ndim - 1)), (1.0 - scale) / scale
