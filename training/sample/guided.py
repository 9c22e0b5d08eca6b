"""Guided predictions of a guidance graph, the arithmetic and the plan being those of the ComfyUI nodes.

D(x) = D_base + sum_i w_i(sigma) * M_i * (D(x; m_i, c_i) - D(x; r_i, d_i))      (GCFG, arXiv 2312.08195)
"""

from collections import defaultdict
from typing import cast

import torch
from torch import Tensor

from gcfg_core.guidance.call import GuiderCalls
from gcfg_core.guidance.coverage import Coverage
from gcfg_core.guidance.graph import GuidanceGraph, GuidanceTerm, Side
from gcfg_core.guidance.masks import fit_mask
from gcfg_core.guidance.plan import compile_plan
from gcfg_core.guidance.sampling_progress import ALWAYS, SamplingProgress, Window

from ..base.model import Condition
from ..base.noise_schedule import NoiseSchedule
from .denoiser import Denoiser

TERMINAL_ALPHA = 4.8973451890853435e-08
"""Stands for zero signal where a finite sigma is needed; ComfyUI's number, so that windows mean the same there."""


def paper_graph(
    base: Denoiser,
    null: Condition,
    concept: Denoiser | None = None,
    control: Condition | None = None,
    w_concept: float = 1.0,
    w_control: float = 1.0,
    concept_window: Window = ALWAYS,
    control_window: Window = ALWAYS,
) -> GuidanceGraph:
    """base + w_concept * (concept - base) + w_control * (base(control) - base), a term missing where its part is None.

    The concept model is given the null condition, which a null-text model ignores.
    """
    terms = []
    if control is not None:
        side = Side(condition=control)
        terms.append(GuidanceTerm(side, weight=w_control, window=control_window, label="control"))
    if concept is not None:
        side = Side(model=concept)
        terms.append(GuidanceTerm(side, weight=w_concept, window=concept_window, label="concept"))
    return GuidanceGraph(Side(base, null), tuple(terms))


def sigma_of(alpha: float) -> float:
    """sqrt((1 - a) / a), finite also without signal."""
    alpha = max(alpha, TERMINAL_ALPHA)
    return ((1.0 - alpha) / alpha) ** 0.5


def progress_of(schedule: NoiseSchedule) -> SamplingProgress:
    """Percents as in ComfyUI's ModelSamplingDiscrete: even in timesteps, log-linear in sigma between them."""
    alphas = schedule.alphas_cumprod.clamp_min(TERMINAL_ALPHA)
    log_sigmas = ((1.0 - alphas) / alphas).log() / 2.0
    last = schedule.steps - 1

    def percent_to_sigma(percent: float) -> float:
        if percent <= 0.0:
            return float("inf")
        if percent >= 1.0:
            return 0.0
        t = (1.0 - percent) * last
        low = min(int(t), last - 1)
        share = t - low
        return float(((1.0 - share) * log_sigmas[low] + share * log_sigmas[low + 1]).exp())

    return SamplingProgress(percent_to_sigma)


class GuidedPrediction:
    """x_t, t -> x_0 of a graph whose models are `Denoiser`s and whose conditions are `Condition`s, for one run.

    Args:
        graph: what to mix; the base's schedule is the one that t belongs to.

    Attributes:
        counts: predictions evaluated in each call so far.
    """

    def __init__(self, graph: GuidanceGraph) -> None:
        self.plan = compile_plan(graph)
        self.models = [cast(Denoiser, model) for model in self.plan.models]
        self.schedule = self.models[0].schedule
        self.calls = GuiderCalls(self.plan, progress_of(self.schedule))
        self.counts: list[int] = []
        self._coverage: dict[torch.Size, Coverage] = {}

    def __call__(self, x_t: Tensor, t: int) -> Tensor:
        """The guided x_0 [B, C, h, w] of x_t at the base's timestep t."""
        alpha = float(self.schedule.alphas_cumprod[t])
        sigma = sigma_of(alpha)
        x = x_t * (sigma * sigma + 1.0) ** 0.5  # variance exploding: x_0 + sigma * eps
        levels = torch.full((len(x),), sigma, dtype=x.dtype, device=x.device)

        def evaluate(required: frozenset[int]) -> dict[int, Tensor]:
            return self._evaluate(x_t, alpha, required)

        return self.calls.predict(x, levels, self._covered(x_t), evaluate, level=sigma).result

    def _covered(self, x_t: Tensor) -> Coverage:
        """Every `Condition` is in force everywhere; the terms' masks at the size of x_t."""
        if x_t.shape not in self._coverage:
            masks = [None if q.mask is None else fit_mask(q.mask, x_t.shape).to(x_t) for q in self.plan.terms]
            self._coverage[x_t.shape] = Coverage([1.0] * len(self.plan.predictions), self.plan.sides, masks)
        return self._coverage[x_t.shape]

    def _evaluate(self, x_t: Tensor, alpha: float, required: frozenset[int]) -> dict[int, Tensor]:
        """Prediction index -> x_0; those of one model are asked for together."""
        self.counts.append(len(required))
        of_model: dict[int, list[int]] = defaultdict(list)
        for j in sorted(required):
            of_model[self.plan.predictions[j].model].append(j)
        found: dict[int, Tensor] = {}
        for model, indices in of_model.items():
            conditions = [cast(Condition, self.plan.predictions[j].condition) for j in indices]
            found |= dict(zip(indices, self.models[model].denoised(x_t, alpha, conditions), strict=True))
        return found
