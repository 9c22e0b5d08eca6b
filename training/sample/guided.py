"""Guided predictions of a guidance graph, with the same arithmetic as the ComfyUI nodes.

D(x) = D_base + sum_i w_i(sigma) * M_i * (D(x; m_i, c_i) - D(x; r_i, d_i))      (GCFG, arXiv 2312.08195)
"""

from collections.abc import Callable
from typing import cast

from torch import Tensor

from gcfg_core.guidance.denoiser import GuidedDenoiser
from gcfg_core.guidance.graph import GuidanceGraph, GuidanceTerm, Side
from gcfg_core.guidance.sampling_progress import ALWAYS, Window

from ..base.model import Condition
from ..base.noise_schedule import NoiseSchedule
from .denoiser import Denoiser

TERMINAL_ALPHA = 4.8973451890853435e-08
"""Smallest alpha, for a finite sigma at zero signal; ComfyUI's number, so that windows agree with ComfyUI."""


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
    """Build base + w_concept * (concept - base) + w_control * (base(control) - base); a term is omitted if its part is
    None.

    The concept model gets the null condition, which a null-text model ignores.
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
    """Return sqrt((1 - a) / a), finite also at zero signal."""
    alpha = max(alpha, TERMINAL_ALPHA)
    return ((1.0 - alpha) / alpha) ** 0.5


def percent_to_sigma(schedule: NoiseSchedule) -> Callable[[float], float]:
    """Map percent to sigma as ComfyUI's ModelSamplingDiscrete: linear in timesteps, log-linear in sigma between
    them."""
    alphas = schedule.alphas_cumprod.clamp_min(TERMINAL_ALPHA)
    log_sigmas = ((1.0 - alphas) / alphas).log() / 2.0
    last = schedule.steps - 1

    def sigma_at(percent: float) -> float:
        if percent <= 0.0:
            return float("inf")
        if percent >= 1.0:
            return 0.0
        t = (1.0 - percent) * last
        low = min(int(t), last - 1)
        share = t - low
        return float(((1.0 - share) * log_sigmas[low] + share * log_sigmas[low + 1]).exp())

    return sigma_at


class GuidedPrediction:
    """Maps x_t, t to x_0 for a graph of `Denoiser`s and `Condition`s, during one sampling run.

    Args:
        graph: what to mix; t is a timestep of its base's noise schedule.
    """

    def __init__(self, graph: GuidanceGraph) -> None:
        self.schedule = cast(Denoiser, graph.base.model).schedule
        self._guided = GuidedDenoiser(graph, percent_to_sigma(self.schedule))

    @property
    def counts(self) -> list[int]:
        """Number of predictions evaluated in each call so far."""
        return self._guided.counts

    def __call__(self, x_t: Tensor, t: int) -> Tensor:
        """Return the guided x_0 [B, C, h, w] of x_t at the base's timestep t."""
        alpha = float(self.schedule.alphas_cumprod[t])
        sigma = sigma_of(alpha)
        x = x_t * (sigma * sigma + 1.0) ** 0.5  # variance exploding: x_0 + sigma * eps
        return self._guided.predict(x, sigma, lambda model, conditions: model.denoised(x_t, alpha, conditions))
