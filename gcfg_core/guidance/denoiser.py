"""The guided prediction of a graph of plain callables, outside ComfyUI."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from .call import GuiderCalls
from .coverage import Coverage
from .graph import GuidanceGraph
from .masks import fit_mask
from .plan import compile_plan
from .sampling_progress import SamplingProgress

Ask = Callable[[Any, Sequence[Any]], Sequence[Tensor]]
"""Maps (model, conditions) to the denoised prediction [B, C, ...] under each condition."""


class GuidedDenoiser:
    """The guided prediction of a graph, for one sampling run.

    Args:
        graph: each model is a callable (x, sigma, condition) -> denoised, [B, C, ...]; conditions are its third
            argument.
        percent_to_sigma: the base model's noise schedule, from share of sampling done to sigma; required if a term has
            a window or a curve.
        is_flow: x = (1 - sigma) * x0 + sigma * noise, as in flow matching; otherwise x = x0 + sigma * noise.

    Attributes:
        counts: predictions evaluated in each call so far.
    """

    def __init__(
        self, graph: GuidanceGraph, percent_to_sigma: Callable[[float], float] | None = None, *, is_flow: bool = False
    ) -> None:
        self.plan = compile_plan(graph)
        self.counts: list[int] = []
        self._calls = GuiderCalls(self.plan, SamplingProgress(percent_to_sigma or _no_schedule))
        self._calls.is_flow = is_flow
        self._coverages: dict[torch.Size, Coverage] = {}

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        """Return the guided denoised prediction [B, C, ...] of x [B, C, ...] at sigma."""
        return self.predict(
            x, sigma, lambda model, conditions: [model(x, sigma, condition) for condition in conditions]
        )

    def predict(self, x: Tensor, sigma: float, ask: Ask) -> Tensor:
        """Do the same with ``ask`` in the place of calling models: one request per model, for all its conditions."""

        def evaluate(required: frozenset[int]) -> dict[int, Tensor]:
            return self._evaluate(required, ask)

        level = torch.full((len(x),), sigma, dtype=x.dtype, device=x.device)
        return self._calls.predict(x, level, self._coverage(x), evaluate, level=sigma).result

    def _coverage(self, x: Tensor) -> Coverage:
        """Return full coverage: every condition is in force everywhere; the terms' masks are resized to x."""
        if x.shape not in self._coverages:
            masks = [None if term.mask is None else fit_mask(term.mask, x.shape).to(x) for term in self.plan.terms]
            self._coverages[x.shape] = Coverage([1.0] * len(self.plan.predictions), self.plan.sides, masks)
        return self._coverages[x.shape]

    def _evaluate(self, required: frozenset[int], ask: Ask) -> dict[int, Tensor]:
        self.counts.append(len(required))
        of_model: dict[int, list[int]] = defaultdict(list)
        for j in sorted(required):
            of_model[self.plan.predictions[j].model].append(j)
        predictions: dict[int, Tensor] = {}
        for model, indices in of_model.items():
            outputs = ask(self.plan.models[model], [self.plan.predictions[j].condition for j in indices])
            predictions |= dict(zip(indices, outputs, strict=True))
        return predictions


def _no_schedule(_: float) -> float:
    raise ValueError(
        "percent_to_sigma: expected a function from share of sampling to sigma, got none. A term of the graph has a "
        "window or a curve, which need it."
    )
