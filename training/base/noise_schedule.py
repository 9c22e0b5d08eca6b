"""A diffusion model's discrete noise schedule: noising, training targets and loss weights.

x_t = sqrt(a_t) * x_0 + sqrt(1 - a_t) * eps            a_t = alphas_cumprod[t]      (DDPM, arXiv 2006.11239, Eq. 4)
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from gcfg_core.errors import InputError
from gcfg_core.guidance.parameterization import NETWORK_OUTPUTS


@dataclass(frozen=True, eq=False)
class NoiseSchedule:
    """A noise schedule and the network's prediction type.

    Attributes:
        alphas_cumprod: [T] float64, decreasing; the last is 0 with zero terminal SNR.
        prediction_type: "epsilon" or "v_prediction".
    """

    alphas_cumprod: Tensor
    prediction_type: str = "epsilon"
    _tables: dict[Any, Tensor] = field(default_factory=dict, init=False, repr=False)  # cache by name, device and dtype

    def __post_init__(self) -> None:
        if self.prediction_type not in NETWORK_OUTPUTS:
            raise InputError("prediction_type", " or ".join(NETWORK_OUTPUTS), repr(self.prediction_type),
                             "Choose from these.")  # fmt: skip
        if self.zero_terminal_snr and self.prediction_type == "epsilon":
            raise InputError("zero terminal SNR", "v_prediction", "epsilon", "At zero SNR eps says nothing about x_0.")

    @property
    def steps(self) -> int:
        return len(self.alphas_cumprod)

    @property
    def zero_terminal_snr(self) -> bool:
        return float(self.alphas_cumprod[-1]) == 0.0

    def _looked_up(self, name: Any, make: Callable[[], Tensor], t: Tensor, like: Tensor) -> Tensor:
        """Return the table ``make()`` [T] at t [B], in ``like``'s dtype and device; computed in float64 and cached."""
        place = (name, like.device, like.dtype)
        if place not in self._tables:
            self._tables[place] = make().to(like)
        return self._tables[place][t.to(like.device)]

    def _at(self, t: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """Return sqrt(a_t) and sqrt(1 - a_t) for t [B], shaped to multiply ``like`` [B, ...]."""
        a, shape = self.alphas_cumprod, (-1, *[1] * (like.ndim - 1))
        signal = self._looked_up("signal", lambda: a.sqrt(), t, like)
        deviation = self._looked_up("deviation", lambda: (1.0 - a).sqrt(), t, like)
        return signal.view(shape), deviation.view(shape)

    def add_noise(self, x0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """Return x_t for x0 and noise [B, ...] at timesteps t [B]."""
        signal, deviation = self._at(t, x0)
        return signal * x0 + deviation * noise

    def target(self, x0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """Return the training target."""
        return NETWORK_OUTPUTS[self.prediction_type].target(x0, noise, *self._at(t, x0))

    def denoised(self, x_t: Tensor, output: Tensor, t: Tensor) -> Tensor:
        """Return x_0 from the network's output [B, ...] at t [B]."""
        return NETWORK_OUTPUTS[self.prediction_type].denoised(x_t, output, *self._at(t, x_t))

    def snr(self, t: Tensor) -> Tensor:
        """Return a_t / (1 - a_t) at timesteps t [B], float64."""
        a = self.alphas_cumprod[t.cpu()]
        return a / (1.0 - a)

    def loss_weight(self, t: Tensor, gamma: float | None, like: Tensor) -> Tensor:
        """Return the min-SNR weight of each sample [B] (arXiv 2303.09556, Section 3.4); 1 if ``gamma`` is None.

        min(snr, gamma) / snr for eps, min(snr, gamma) / (snr + 1) for v, which is finite also at zero SNR.
        """
        if gamma is None:
            return torch.ones(len(t), dtype=like.dtype, device=like.device)
        return self._looked_up(("weight", gamma), lambda: self._weights(gamma), t, like)

    def _weights(self, gamma: float) -> Tensor:
        snr = self.snr(torch.arange(self.steps))
        return snr.clamp_max(gamma) / NETWORK_OUTPUTS[self.prediction_type].x0_weight(snr)


def betas_of(config: Mapping[str, Any]) -> Tensor:
    """Return the betas [T] float64 of a diffusers scheduler configuration; missing keys default to Stable
    Diffusion's."""
    start, end = float(config.get("beta_start", 0.00085)), float(config.get("beta_end", 0.012))
    steps = int(config.get("num_train_timesteps", 1000))
    kind = config.get("beta_schedule", "scaled_linear")
    if kind == "scaled_linear":
        return torch.linspace(start**0.5, end**0.5, steps, dtype=torch.float64) ** 2
    if kind == "linear":
        return torch.linspace(start, end, steps, dtype=torch.float64)
    raise InputError("beta_schedule", "scaled_linear or linear", repr(kind), "Other schedules are not supported.")


def rescale_to_zero_snr(alphas_cumprod: Tensor) -> Tensor:
    """Shift and scale sqrt(a_t) so that the last value is 0 and the first is unchanged (arXiv 2305.08891, Algorithm
    1)."""
    root = alphas_cumprod.sqrt()
    return ((root - root[-1]) * root[0] / (root[0] - root[-1])) ** 2


def noise_schedule(
    config: Mapping[str, Any] | None = None, prediction_type: str = "epsilon", zero_terminal_snr: bool = False
) -> NoiseSchedule:
    """Build a noise schedule from a diffusers scheduler configuration.

    Raises:
        InputError: the beta_schedule is unknown, or zero terminal SNR is combined with eps-prediction.
    """
    alphas_cumprod = torch.cumprod(1.0 - betas_of(config or {}), dim=0)
    if zero_terminal_snr:
        alphas_cumprod = rescale_to_zero_snr(alphas_cumprod)
        alphas_cumprod[-1] = 0.0
    return NoiseSchedule(alphas_cumprod, prediction_type)
