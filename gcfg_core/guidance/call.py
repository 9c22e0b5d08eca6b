"""The guider calls of one sampling run: what each evaluates, reuses, combines and keeps for the next.

    weights -> reused differences -> required predictions -> evaluate -> hooks -> combine -> rescale -> kept differences

A host gives an `evaluate` function and, if it has any, hooks of its own; `decide` alone tells what a call would cost.
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
"""Prediction indices -> denoised [B, C, ...] of each."""


class Hooks:
    """What acts on a call around its arithmetic. These do nothing; a host's derive from them."""

    def __init__(self, needs: HookNeeds = NO_NEEDS) -> None:
        self.needs = needs

    def evaluate(self, call: Call, evaluate: Evaluate) -> Call:
        """The call with its predictions."""
        return call.with_predictions(evaluate(call.required))

    def guide(self, cond: Tensor, uncond: Tensor, weight: float) -> Tensor:
        """One prediction from the pair that hooks are given, and its weight."""
        return classifier_free_guidance(cond, uncond, weight)

    def finish(self, denoised: Tensor) -> Tensor:
        """The result of the call, after rescale."""
        return denoised

    def stored(self, computed: dict[int, tuple[Tensor, Tensor | None]]) -> dict[int, tuple[Tensor, Tensor | None]]:
        """(difference, own positive) of the terms that may use theirs again in later calls."""
        return computed


NO_HOOKS = Hooks()


@dataclass(frozen=True, eq=False)
class Guided:
    """A guider call that is done: ``result`` [B, C, ...] is the guided denoised prediction."""

    call: Call
    combined: Combined
    result: Tensor


class GuiderCalls:
    """The guider calls of one sampling run, in order.

    Args:
        plan: the compiled graph.
        progress: percents of the base model's noise schedule.

    Attributes:
        is_flow: the base model predicts a velocity (rescale works on it).
    """

    def __init__(self, plan: Plan, progress: SamplingProgress) -> None:
        self.plan, self.progress = plan.for_one_run(), progress
        self.is_flow = False
        self._store = DifferenceStore(plan.terms)

    def follow(self, plan: Plan) -> None:
        """From now on these weights; ``plan`` has the models and predictions of the run."""
        self.plan = plan.for_one_run()

    def decide(
        self,
        sigma: SupportsFloat,
        coverage: Coverage | None = None,
        needs: HookNeeds = NO_NEEDS,
        shape: torch.Size | None = None,
    ) -> Call:
        """Begin the next call: weights, reused differences and required predictions.

        Args:
            sigma: the noise level; looked at only where something depends on it.
            coverage: where predictions exist in this call; default as far as the conditions' ranges tell.
            needs: what hooks ask to be evaluated.
            shape: of the latent; None where calls are only counted.
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
        """The guided denoised prediction at (x [B, C, ...], sigma [B]).

        Args:
            evaluate: gives the predictions that are asked for.
            hooks: those of the host.
            level: sigma as a number; default sigma[0], fetched from its device only where something depends on it.
        """
        decided = self.decide(sigma[0] if level is None else level, coverage, hooks.needs, x.shape)
        call = hooks.evaluate(decided, evaluate)
        combined = combine(call, hooks.guide)
        result = hooks.finish(self._rescaled(call, combined.result, x, sigma))
        self._store.keep(hooks.stored(combined.computed))
        return Guided(call, combined, result)

    def _rescaled(self, call: Call, result: Tensor, x: Tensor, sigma: Tensor) -> Tensor:
        target = self.plan.rescale_target(call.weights)
        if target is None:
            return result
        return rescale_result(x, result, call.predictions[target], sigma, self.plan.graph.rescale, flow=self.is_flow)
