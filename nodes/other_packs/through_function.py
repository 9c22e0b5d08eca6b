"""One guider call in which another pack's function predicts the primary pair.

The function receives the pair, the weight and the model options that CFGGuider would pass, so that a graph of one term
is CFGGuider to the bit. If the graph adds more terms, the primary term's difference follows from the function's
result, (result - D_base) / weight, and the post-cfg functions run on the total.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from ...gcfg_core.guidance.call import Evaluate
from ...gcfg_core.guidance.combine import Call, classifier_free_guidance
from ...gcfg_core.guidance.plan import BASE
from .pair_function import POST_CFG, Answer, PairFunction
from .replaced import modules_of, replaced_functions
from .result_hooks import ResultHooks


@dataclass
class PairCall(ResultHooks):
    """The hooks of one call. The function runs them; it runs post-cfg functions only if its result is the whole result.

    Attributes:
        function: predicts the primary pair.
        ask: calls the function with the base model's weights in place.
        primary: the term whose pair the function receives; None for the base condition on both sides.
        is_whole: the graph adds nothing to its result.
        answer: its answer for the pair.
    """

    function: PairFunction
    ask: Callable[[Callable[[], Answer]], Answer]
    primary: int | None = field(init=False, default=None)
    is_whole: bool = field(init=False, default=False)
    answer: Answer = field(init=False)

    def evaluate(self, call: Call, evaluate: Evaluate) -> Call:
        """Let the function predict the primary pair, and evaluate the other predictions.

        Raises:
            RuntimeError: its result is not a prediction, and the graph would add to it.
        """
        plan = call.plan
        self.weight = call.hook_weight
        self.primary = plan.primary if call.sees_primary and plan.primary not in call.reused else None
        self.is_whole = _is_pair_alone(call, self.primary)
        positive = BASE if self.primary is None else plan.sides[self.primary][0]
        self.conds = [self.of_prediction[positive], self.of_prediction[BASE]]
        hidden = () if self.is_whole else (POST_CFG,)
        self.answer = self.ask(lambda: self.function.pair(*self.conds, self.weight, self.model_options, hidden))
        self._check_answer()
        own = self._own_predictions(positive)
        known = {positive, *own} if self.primary is not None else {BASE}
        missing = frozenset() if self.is_whole else call.required - known
        predictions = self._settle({**evaluate(missing), **own}, positive)
        pair = self.pair
        if call.sees_primary and plan.primary in call.reused:
            pair = pair[1] + call.reused[plan.primary].tensor, pair[1]
        return call.with_predictions(predictions, pair)

    def _check_answer(self) -> None:
        if not self.is_whole and not isinstance(self.answer.result, torch.Tensor):
            raise RuntimeError(
                f"{modules_of(replaced_functions())} predicts in the place of ComfyUI's CFGGuider and returns "
                f"{type(self.answer.result).__name__}, to which GCFG cannot add other terms: use one Guidance Term on "
                "the base model, without mask and modifiers, or a sampler of ComfyUI's."
            )

    def _own_predictions(self, positive: int) -> dict[int, torch.Tensor]:
        """Return the predictions that the function evaluated, if they can be read."""
        seen = {BASE: self.answer.uncond, positive: self.answer.cond}
        if self.primary is None and self.answer.cond is None:
            seen = {BASE: self.answer.result}
        return {j: value for j, value in seen.items() if value is not None}

    def _settle(self, predictions: dict[int, torch.Tensor], positive: int) -> dict[int, torch.Tensor]:
        """Find the pair (cond, D_base) for which plain guidance gives the function's result.

        Args:
            predictions: of the whole call. The result includes cond if the function does not reveal the positive.
        """
        result = self.answer.result
        base = predictions[BASE] if BASE in predictions else torch.zeros_like(result)
        if self.is_whole:
            self.pair = predictions.get(positive, result), base
            return predictions
        self.pair = (result if self.weight in (0.0, 1.0) else base + (result - base) / self.weight), base
        return {positive: self.pair[0], **predictions}

    def guide(self, cond: torch.Tensor, uncond: torch.Tensor, weight: float) -> torch.Tensor:
        """Return the function's own result, unless a modifier replaced the difference."""
        return self.answer.result if cond is self.pair[0] else classifier_free_guidance(cond, uncond, weight)

    def finish(self, denoised: torch.Tensor) -> torch.Tensor:
        return denoised if self.is_whole else super().finish(denoised)

    def stored(
        self, computed: dict[int, tuple[torch.Tensor, torch.Tensor | None]]
    ) -> dict[int, tuple[torch.Tensor, torch.Tensor | None]]:
        """Return the differences to reuse later; the primary term's is the one from the function's result."""
        if self.primary not in computed:
            return computed
        return {**computed, self.primary: (self.pair[0] - self.pair[1], self.pair[0])}


def _is_pair_alone(call: Call, primary: int | None) -> bool:
    """True if the graph neither adds to nor changes the function's result for the primary term's pair."""
    plan, weights = call.plan, call.weights
    if set(call.active) - {primary} or plan.needed_differences(weights) or plan.rescale_target(weights) is not None:
        return False
    return primary is None or call.coverage.masks[primary] is None
