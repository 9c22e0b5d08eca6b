"""The predictions of one call, kept on the CPU so that their pictures can be compared after sampling."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch

from ...gcfg_core.formula import prediction_names
from ...gcfg_core.plan import Plan
from ...gcfg_core.schedule import Progress
from ...gcfg_core.trace import KeptPredictions

RESULT = "result"


class PredictionKeeper:
    """Keeps the predictions of the first call at or after ``preview_at``, a share of sampling; 0 keeps none.

    Where a run ends before that share, its last step is the one.
    """

    def __init__(self, preview_at: float) -> None:
        self.preview_at = preview_at
        self.below = -math.inf
        self.is_done = preview_at <= 0.0

    def begin(self, sigmas: torch.Tensor, progress: Progress) -> None:
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

    def keep(
        self, model: Any, plan: Plan, predictions: Mapping[int, torch.Tensor], result: torch.Tensor, sigma: torch.Tensor
    ) -> KeptPredictions:
        """What was evaluated and what it became, as latents that a VAE decodes.

        Args:
            model: the base model, which knows how its latents are scaled.
            predictions, result: [B, C, ...].
        """
        self.is_done = True
        names = prediction_names(plan)
        kept = {names[j]: predictions[j] for j in sorted(predictions)} | {RESULT: result}
        latents = {name: model.process_latent_out(latent[:1].float()).cpu() for name, latent in kept.items()}
        level = float(sigma[0])
        return KeptPredictions(level, self.progress.percent(level), latents)
