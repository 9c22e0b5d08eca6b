"""Predictions by a function that another pack has put in the place of ComfyUI's sampling function.

It receives the arguments that CFGGuider would pass: a pair of conditions, a weight and the model options. Its
predictions are read from the batch that it asks ComfyUI's calc_cond_batch for.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from comfy.patcher_extension import WrappersMP

BATCH_FUNCTION = "sampler_calc_cond_batch_function"
POST_CFG = "sampler_post_cfg_function"

Predict = Callable[[list, list | None, float, dict[str, Any]], torch.Tensor]
"""(positive, negative, weight, model options) -> denoised [B, C, ...]"""


@dataclass
class Answer:
    """The result of the function for a pair.

    Attributes:
        result: its own result, [B, C, ...].
        cond, uncond: the predictions that it evaluated; None if it did not evaluate them or they cannot be read.
        evaluations: how many predictions it asked for.
    """

    result: torch.Tensor
    cond: torch.Tensor | None = None
    uncond: torch.Tensor | None = None
    evaluations: int = 1


class PairFunction:
    """The function in the place of ComfyUI's, during one call.

    Args:
        predict: calls it.
        shape: of x, [B, C, ...].
    """

    def __init__(self, predict: Predict, shape: torch.Size) -> None:
        self.predict = predict
        self.shape = shape

    def pair(
        self,
        positive: list,
        negative: list | None,
        weight: float,
        options: dict[str, Any],
        without: Collection[str] = (),
    ) -> Answer:
        """Call the function for a pair. ``without``: names of model options to hide from it."""
        batch = _FirstBatch(self.shape)
        with _hidden(options, without), _wrapped(options, batch):
            result = self.predict(positive, negative, weight, options)
        cond, uncond = (*batch.predictions, None, None)[:2]
        return Answer(result, cond, uncond, batch.evaluations or 1)

    def alone(self, cond: list, options: dict[str, Any]) -> torch.Tensor:
        """Return the prediction under one condition: a pair without a negative at weight 1, without the result
        hooks."""
        plain = {name: value for name, value in options.items() if not _acts_on_results(name)}
        answer = self.pair(cond, None, 1.0, plain)
        return answer.result if answer.cond is None else answer.cond


def _acts_on_results(option: str) -> bool:
    """True for result hooks, by name, other packs' too, and for the cfg1 option, which asks for the negative at
    weight 1."""
    return option.startswith("sampler_") and option != BATCH_FUNCTION or option == "disable_cfg1_optimization"


class _FirstBatch:
    """A calc_cond_batch wrapper that copies the predictions of the first batch: the pair's."""

    def __init__(self, shape: torch.Size) -> None:
        self.shape = shape
        self.predictions: list[torch.Tensor | None] = []
        self.evaluations = 0

    def __call__(self, executor: Any, model: Any, conds: list, x: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        outputs = executor(model, conds, x, *args, **kwargs)
        if self.evaluations == 0:
            self.evaluations = sum(cond is not None for cond in conds)
            # otherwise the batch is not a pair, has no predictions yet, or x is a context window
            if len(outputs) == len(conds) == 2 and x.shape == self.shape:
                pairs = zip(conds, outputs, strict=True)
                self.predictions = [None if cond is None else output.clone() for cond, output in pairs]
        return outputs


@contextlib.contextmanager
def _hidden(options: dict[str, Any], names: Collection[str]) -> Iterator[None]:
    """Hide these names in the same options object, because some functions keep state in it; restore them afterwards."""
    hidden = {name: options.pop(name) for name in names if name in options}
    try:
        yield
    finally:
        options.update(hidden)


@contextlib.contextmanager
def _wrapped(options: dict[str, Any], batch: _FirstBatch) -> Iterator[None]:
    """Add a calc_cond_batch wrapper outside all others to the same options object; remove it afterwards."""
    wrappers = options.setdefault("transformer_options", {}).setdefault("wrappers", {})
    others = wrappers.get(WrappersMP.CALC_COND_BATCH)
    wrappers[WrappersMP.CALC_COND_BATCH] = {"gcfg": [batch], **(others or {})}
    try:
        yield
    finally:
        if others is None:
            del wrappers[WrappersMP.CALC_COND_BATCH]
        else:
            wrappers[WrappersMP.CALC_COND_BATCH] = others
