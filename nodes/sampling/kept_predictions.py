"""Keep the predictions of one call on the CPU, so that their pictures can be compared after sampling."""

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

    A run that ends before that share keeps its last step's; without a call at that step it keeps its last call's.
    """

    def __init__(self, preview_at: float) -> None:
        self.preview_at = preview_at
        self.below = -math.inf
        self.is_done = preview_at <= 0.0
        self._held: tuple[torch.Tensor, dict[str, torch.Tensor]] | None = None

    def begin(self, sigmas: torch.Tensor, progress: SamplingProgress) -> None:
        """Find the noise level to wait for. ``sigmas``: those of the run's steps, descending, [steps + 1]."""
        if self.is_done:
            return
        levels = [sigma for sigma in sigmas.tolist()[:-1] if sigma > 0.0]
        reached = [sigma for sigma in levels if progress.percent(sigma) >= self.preview_at]
        self.progress = progress
        self.below = max(reached, default=min(levels, default=math.inf))

    def wants(self, sigma: torch.Tensor) -> bool:
        """True if the call at sigma [B] is to be kept; fetches sigma from the device only until then."""
        return not self.is_done and float(sigma[0]) <= self.below * (1.0 + 1e-6)

    def hold(
        self, plan: Plan, predictions: Mapping[int, torch.Tensor], result: torch.Tensor, sigma: torch.Tensor
    ) -> None:
        """Hold this call instead of the previous one, on its device; do nothing once a call is kept.

        Args:
            predictions, result: [B, C, ...].
        """
        if self.is_done:
            return
        names = prediction_names(plan)
        held = {names[j]: predictions[j] for j in sorted(predictions)} | {RESULT: result}
        self._held = sigma[:1], {name: latent[:1].float().clone() for name, latent in held.items()}

    def keep(self, model: Any) -> KeptPredictions | None:
        """Return the held call's predictions and result as latents that a VAE decodes; None if no call is held.

        Args:
            model: the base model, which knows the scale of its latents.
        """
        if self._held is None:
            return None
        sigma, held = self._held
        self._held, self.is_done = None, True
        latents = {name: model.process_latent_out(latent).cpu() for name, latent in held.items()}
        level = float(sigma)
        return KeptPredictions(level, self.progress.percent(level), latents)
