"""The guider calls of one sampling run: which predictions each evaluates, reuses, combines and keeps for the next.

    weights -> reused differences -> required predictions -> evaluate -> hooks -> combine -> rescale -> kept differences

The caller passes an `evaluate` function and, if it has any, hooks of its own; `decide` alone gives the cost of a call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import SupportsFloat

import torch
from torch import Tensor

from .combine import Call, Combined, classifier_free_guidance, combine, rescale_result
from .coverage import Coverage
from .hook_needs import NO_NEEDS, HookNeeds
from .plan import Plan
from .reuse import DifferenceStore
from .sampling_progress import SamplingProgress

Evaluate = Callable[[frozenset[int]], Mapping[int, Tensor]]
"""Maps prediction indices to the denoised [B, C, ...] of each."""


class Hooks:
    """Functions around the arithmetic of a call. These change nothing; ComfyUI's hooks are a subclass."""

    def __init__(self, needs: HookNeeds = NO_NEEDS) -> None:
        self.needs = needs

    def evaluate(self, call: Call, evaluate: Evaluate) -> Call:
        """Return the call with its predictions, evaluated by ``evaluate``."""
        return call.with_predictions(evaluate(call.required))

    def guide(self, cond: Tensor, uncond: Tensor, weight: float) -> Tensor:
        """Combine the pair that hooks receive, with its weight, into one prediction."""
        return classifier_free_guidance(cond, uncond, weight)

    def finish(self, denoised: Tensor) -> Tensor:
        """Return the result of the call, given the prediction after rescale."""
        return denoised

    def stored(self, computed: dict[int, tuple[Tensor, Tensor | None]]) -> dict[int, tuple[Tensor, Tensor | None]]:
        """Return the (difference, own positive) to store for each term that may reuse its difference in later calls."""
        return computed


NO_HOOKS = Hooks()


@dataclass(frozen=True, eq=False)
class Guided:
    """A completed guider call: ``result`` [B, C, ...] is the guided denoised prediction."""

    call: Call
    combined: Combined
    result: Tensor


class GuiderCalls:
    """The guider calls of one sampling run, in order.

    Args:
        plan: the compiled graph.
        progress: sampling progress on the base model's noise schedule.

    Attributes:
        is_flow: the base model predicts a velocity, on which rescale then works.
    """

    def __init__(self, plan: Plan, progress: SamplingProgress) -> None:
        self.plan, self.progress = plan.for_one_run(), progress
        self.is_flow = False
        self._store = DifferenceStore(plan.terms)

    def follow(self, plan: Plan) -> None:
        """Use the weights of ``plan`` from now on; its models and predictions must be the run's."""
        self.plan = plan.for_one_run()

    def decide(
        self,
        sigma: SupportsFloat,
        coverage: Coverage | None = None,
        needs: HookNeeds = NO_NEEDS,
        shape: torch.Size | None = None,
    ) -> Call:
        """Begin the next call: find its weights, reused differences and required predictions.

        Args:
            sigma: the noise level; read only if something depends on it.
            coverage: where predictions exist in this call; by default inferred from the conditions' reach.
            needs: the predictions that hooks require.
            shape: of the latent; None if calls are only counted.
        """
        plan = self.plan
        if coverage is None:
            level = float(sigma)
            coverage = plan.expected_coverage(lambda reach: reach.is_active(level, self.progress))
        weights = coverage.weights([term.weight_at(sigma, self.progress) for term in plan.terms])
        reused = self._store.begin(weights, sigma, coverage, shape)
        rests = plan.primary is not None and coverage.rests(plan.primary)
        sees_primary = needs.see_primary(plan, weights, sigma, self.progress, rests)
        kept = needs.kept(plan, weights, sees_primary, reused)
        required = plan.required(weights, coverage, reused=frozenset(reused), kept=kept)
        return Call(plan, weights, coverage, reused, sees_primary, required)

    def predict(
        self,
        x: Tensor,
        sigma: Tensor,
        coverage: Coverage,
        evaluate: Evaluate,
        hooks: Hooks = NO_HOOKS,
        level: SupportsFloat | None = None,
    ) -> Guided:
        """Return the guided denoised prediction at (x [B, C, ...], sigma [B]).

        Args:
            evaluate: returns the predictions of the given indices.
            hooks: those of the caller.
            level: sigma as a number; default sigma[0], fetched from its device only if something depends on it.
        """
        decided = self.decide(sigma[0] if level is None else level, coverage, hooks.needs, x.shape)
        call = hooks.evaluate(decided, evaluate)
        combined = combine(call, hooks.guide)
        result = hooks.finish(self._rescaled(call, combined.result, x, sigma))
        self._store.keep(hooks.stored(combined.computed))
        return Guided(call, combined, result)

    def _rescaled(self, call: Call, result: Tensor, x: Tensor, sigma: Tensor) -> Tensor:
        target = call.plan.rescale_target(call.weights)
        if target is None:
            return result
        return rescale_result(x, result, call.predictions[target], sigma, call.plan.graph.rescale, flow=self.is_flow)
