"""A UNet with its noise schedule that returns denoised predictions."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import torch
from torch import Tensor

from gcfg_core.guidance.parameterization import NETWORK_OUTPUTS

from ..base.model import Base, Condition
from ..base.noise_schedule import NoiseSchedule


class Denoiser:
    """D(x_t; condition) of a model, in coordinates x_t = sqrt(a) * x_0 + sqrt(1 - a) * eps.

    Args:
        unet: diffusers' UNet2DConditionModel, with or without cross-attention.
        schedule: its noise schedule and prediction type.
        constant: condition that replaces every other condition (null-text SDXL models); None: use the given condition.
    """

    def __init__(self, unet: Any, schedule: NoiseSchedule, constant: Condition | None = None) -> None:
        self.unet = unet
        self.schedule = schedule
        self.constant = constant

    @property
    def device(self) -> torch.device:
        return next(self.unet.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        return next(self.unet.parameters()).dtype

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> "Denoiser":
        """Move the network in place with torch's `to`, since diffusers' own `to` would warn."""
        torch.nn.Module.to(self.unet, device=device, dtype=dtype)
        return self

    @torch.no_grad()
    def denoised(self, x_t: Tensor, alpha: float, conditions: Sequence[Condition]) -> list[Tensor]:
        """Return x_0 [B, C, h, w] under each condition (batch 1); conditions of equal shape share a forward pass.

        x_t may come from a model with another noise schedule: the network runs at its own timestep of the nearest noise
        level, at most its noisiest, as in ComfyUI.

        Args:
            x_t: [B, C, h, w].
            alpha: a_t of x_t.
            conditions: at least one.
        """
        signal, noise = alpha**0.5, (1.0 - alpha) ** 0.5
        most = float(self.schedule.alphas_cumprod[-1])
        if alpha < most:
            x_t = x_t * ((1.0 - most) ** 0.5 / noise)
            signal, noise = most**0.5, (1.0 - most) ** 0.5
        outputs = self._outputs(x_t, nearest_timestep(self.schedule, alpha), conditions)
        prediction = NETWORK_OUTPUTS[self.schedule.prediction_type]
        return [prediction.denoised(x_t, output, signal, noise) for output in outputs]

    def _outputs(self, x_t: Tensor, t: int, conditions: Sequence[Condition]) -> list[Tensor]:
        """Return the network's outputs in the dtype of x_t."""
        given = [self.constant or condition for condition in conditions]
        outputs: list[Tensor] = []
        for _, group in groupby(given, key=lambda condition: condition.hidden_states.shape[1:]):
            alike = list(group)
            joined = _joined(alike, len(x_t)).to(self.device, self.dtype)
            x = x_t.repeat(len(alike), 1, 1, 1).to(self.device, self.dtype)  # [K * B, C, h, w]
            output = self.unet(x, t, **joined.arguments(), return_dict=False)[0]
            outputs += output.to(x_t).chunk(len(alike))
        return outputs


def _joined(conditions: Sequence[Condition], batch: int) -> Condition:
    """Repeat conditions of batch 1 and concatenate them: [K * B, ...]."""
    repeated = [condition.repeated(batch) for condition in conditions]

    def cat(values: list[Tensor | None]) -> Tensor | None:
        present = [value for value in values if value is not None]
        return torch.cat(present) if present else None

    hidden = torch.cat([condition.hidden_states for condition in repeated])
    return Condition(hidden, cat([c.pooled for c in repeated]), cat([c.time_ids for c in repeated]))


def nearest_timestep(schedule: NoiseSchedule, alpha: float) -> int:
    """Return the timestep whose log SNR is nearest to that of ``alpha``."""
    levels = schedule.alphas_cumprod
    if alpha <= float(levels[-1]):
        return schedule.steps - 1
    given = torch.tensor(alpha, dtype=levels.dtype)
    return int((torch.logit(levels) - torch.logit(given)).abs().argmin())


def base_denoiser(base: Base) -> Denoiser:
    """Return the base as a model for guidance graphs."""
    return Denoiser(base.unet, base.schedule)
