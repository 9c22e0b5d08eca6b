"""The predictions of one call, kept on the CPU so that their pictures can be compared after sampling."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch

from ...gcfg_core.guidance.formula import prediction_names
from ...gcfg_core.guidance.plan import Plan
from ...gcfg_core.guidance.sampling_progress import SamplingProgress
from ...gcfg_core.trace.trace import KeptPredictions

RESULT = "result"


class PredictionKeeper:
    """Keeps the predictions of the first call at or after ``preview_at``, a share of sampling; 0 keeps none.

    Where a run ends before that share, its last step is the one, and its last call where no call comes to that step.
    """

    def __init__(self, preview_at: float) -> None:
        self.preview_at = preview_at
        self.below = -math.inf
        self.is_done = preview_at <= 0.0
        self._held: tuple[torch.Tensor, dict[str, torch.Tensor]] | None = None

    def begin(self, sigmas: torch.Tensor, progress: SamplingProgress) -> None:
        """Find the noise level to wait for. sigmas: the run's schedule, descending, [steps + 1]."""
        if self.is_done:
            return
        levels = [sigma for sigma in sigmas.tolist()[:-1] if sigma > 0.0]
        reached = [sigma for sigma in levels if progress.percent(sigma) >= self.preview_at]
        self.progress = progress
        self.below = max(reached, default=min(levels, default=math.inf))

    def wants(self, sigma: torch.Tensor) -> bool:
        """Whether the call at sigma [B] is the one; asks the device for its value only until it has come."""
        return not self.is_done and float(sigma[0]) <= self.below * (1.0 + 1e-6)

    def hold(
        self, plan: Plan, predictions: Mapping[int, torch.Tensor], result: torch.Tensor, sigma: torch.Tensor
    ) -> None:
        """Remember this call in the place of those before it, on its device; nothing once the one is kept.

        Args:
            predictions, result: [B, C, ...].
        """
        if self.is_done:
            return
        names = prediction_names(plan)
        held = {names[j]: predictions[j] for j in sorted(predictions)} | {RESULT: result}
        self._held = sigma[:1], {name: latent[:1].float().clone() for name, latent in held.items()}

    def keep(self, model: Any) -> KeptPredictions | None:
        """What the held call evaluated and what it became, as latents that a VAE decodes; None where none is held.

        Args:
            model: the base model, which knows how its latents are scaled.
        """
        if self._held is None:
            return None
        sigma, held = self._held
        self._held, self.is_done = None, True
        latents = {name: model.process_latent_out(latent).cpu() for name, latent in held.items()}
        level = float(sigma)
        return KeptPredictions(level, self.progress.percent(level), latents)
