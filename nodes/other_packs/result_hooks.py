"""ComfyUI's hooks on predictions: pre-cfg, cfg and post-cfg functions of the base model.

They receive the primary term's real pair (D_base(c), D_base) and weight, exactly as under CFGGuider; the other terms
are added to their result, and post-cfg functions run on the total. If no primary term acts, they receive the base
prediction on both sides at weight 1, which every hook leaves unchanged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from ...gcfg_core.guidance.call import Evaluate, Hooks
from ...gcfg_core.guidance.combine import Call, classifier_free_guidance
from ...gcfg_core.guidance.hook_needs import HookNeeds
from ...gcfg_core.guidance.plan import BASE

RESULT_HOOKS = ("sampler_pre_cfg_function", "sampler_cfg_function", "sampler_post_cfg_function")


def result_hooks_of(model_options: dict[str, Any]) -> list[str]:
    """Return the kinds of result hooks that a model carries."""
    return [name for name in RESULT_HOOKS if model_options.get(name)]


def hook_needs(model_options: dict[str, Any], is_function: bool = False) -> HookNeeds:
    """Return the predictions that a base model's result hooks need.

    Args:
        is_function: another pack's function calls them, as in through_function.py.
    """
    both_sides = bool(model_options.get("disable_cfg1_optimization", False))
    are_used = is_function or bool(result_hooks_of(model_options))
    return HookNeeds(are_used=are_used, want_both_sides=both_sides, want_weight_0=is_function)


@dataclass
class ResultHooks(Hooks):
    """The base model's hooks in one guider call at (x [B, C, ...], sigma [B]).

    Attributes:
        of_prediction: the base model's processed conditions, by prediction.
        needs: the predictions that the hooks need.
        weight: their cond_scale.
        conds, pair: the (cond, uncond) that they receive, conditions and predictions.
    """

    model: Any
    model_options: dict[str, Any]
    x: torch.Tensor
    sigma: torch.Tensor
    of_prediction: Mapping[int, list]
    needs: HookNeeds
    weight: float = field(init=False, default=1.0)
    conds: list[Any] = field(init=False)
    pair: tuple[torch.Tensor, torch.Tensor] = field(init=False)

    def evaluate(self, call: Call, evaluate: Evaluate) -> Call:
        """Evaluate the call, then run the pre-cfg functions on its primary pair, or on the base twice if there is
        none."""
        self.weight = call.hook_weight
        call = call.with_predictions(evaluate(call.required))
        if not self.needs.are_used:
            return call
        base, primary = call.prediction(BASE), call.plan.primary
        if not call.sees_primary or primary is None:
            return replace(call, pair=self.begin([self.of_prediction[BASE]] * 2, base, base))
        positive = call.plan.sides[primary][0]
        is_reused = primary in call.reused
        cond = base + call.reused[primary].tensor if is_reused else call.prediction(positive)
        conds = [self.of_prediction[positive], self.of_prediction[BASE] if BASE in call.predictions else None]
        return replace(call, pair=self.begin(conds, cond, base))

    def begin(self, conds: list[Any], cond: torch.Tensor, uncond: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Run the pre-cfg functions on the pair, and keep the pair for the cfg and post-cfg functions."""
        self.conds, out = conds, [cond, uncond]
        for function in self.model_options.get("sampler_pre_cfg_function") or []:
            out = function({**self._arguments(), "conds": conds, "conds_out": out, "timestep": self.sigma})
        self.pair = out[0], out[1]
        return self.pair

    def guide(self, cond: torch.Tensor, uncond: torch.Tensor, weight: float) -> torch.Tensor:
        """Run the cfg function on the primary pair; without a cfg function use classifier-free guidance."""
        function = self.model_options.get("sampler_cfg_function")
        if function is None:
            return classifier_free_guidance(cond, uncond, weight)
        x = self.x
        arguments = {**self._arguments(), **self._pair_arguments(cond, uncond), "timestep": self.sigma}
        arguments |= {"cond": x - cond, "uncond": x - uncond, "cond_scale": weight}
        return x - function({**arguments, "input_cond": self.conds[0], "input_uncond": self.conds[1]})

    def finish(self, denoised: torch.Tensor) -> torch.Tensor:
        """Run the post-cfg functions on the total."""
        for function in self.model_options.get("sampler_post_cfg_function") or []:
            arguments = {**self._arguments(), **self._pair_arguments(*self.pair), "denoised": denoised}
            denoised = function({**arguments, "cond": self.conds[0], "uncond": self.conds[1]})
        return denoised

    def _arguments(self) -> dict[str, Any]:
        return {
            "input": self.x,
            "sigma": self.sigma,
            "model": self.model,
            "model_options": self.model_options,
            "cond_scale": self.weight,
        }

    @staticmethod
    def _pair_arguments(cond: torch.Tensor, uncond: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"cond_denoised": cond, "uncond_denoised": uncond}
