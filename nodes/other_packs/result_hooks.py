"""ComfyUI's hooks on predictions: pre-cfg, cfg and post-cfg functions of the base model.

They are given the primary term's real pair (D_base(c), D_base) and weight, exactly as under CFGGuider; the other terms
are added to what they return, and post-cfg functions run on the total. Where no primary term acts, the base prediction
stands on both sides at weight 1, which every hook leaves as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from ...gcfg_core.guidance.combine import classifier_free_guidance
from ...gcfg_core.guidance.hook_needs import HookNeeds

StoredTerms = dict[int, tuple[torch.Tensor, torch.Tensor | None]]
"""term -> (difference, own positive), as in gcfg_core's Combined.computed"""

RESULT_HOOKS = ("sampler_pre_cfg_function", "sampler_cfg_function", "sampler_post_cfg_function")


def result_hooks_of(model_options: dict[str, Any]) -> list[str]:
    """The kinds of result hooks that a model carries."""
    return [name for name in RESULT_HOOKS if model_options.get(name)]


def hook_needs(model_options: dict[str, Any], is_function: bool = False) -> HookNeeds:
    """What a base model's result hooks ask to be evaluated.

    Args:
        is_function: another pack's function calls them, as in through_function.py.
    """
    both_sides = bool(model_options.get("disable_cfg1_optimization", False))
    are_used = is_function or bool(result_hooks_of(model_options))
    return HookNeeds(are_used=are_used, want_both_sides=both_sides, want_weight_0=is_function)


@dataclass
class ResultHooks:
    """The base model's hooks in one guider call.

    Attributes:
        see_primary: they are given the primary term's pair; otherwise the base prediction on both sides.
        weight: what they see as cond_scale.
    """

    model: Any
    model_options: dict[str, Any]
    x: torch.Tensor
    sigma: torch.Tensor
    see_primary: bool
    weight: float

    def begin(self, conds: list[Any], cond: torch.Tensor, uncond: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Run the pre-cfg functions on the pair; keep it for the cfg and post-cfg functions."""
        self.conds, out = conds, [cond, uncond]
        for function in self.model_options.get("sampler_pre_cfg_function", []):
            out = function({**self._arguments(), "conds": conds, "conds_out": out, "timestep": self.sigma})
        self.pair = out[0], out[1]
        return self.pair

    def guide(self, cond: torch.Tensor, uncond: torch.Tensor, weight: float) -> torch.Tensor:
        """The cfg function on the primary pair; plain classifier-free guidance without one."""
        function = self.model_options.get("sampler_cfg_function")
        if function is None:
            return classifier_free_guidance(cond, uncond, weight)
        x = self.x
        arguments = {**self._arguments(), **self._pair_arguments(cond, uncond), "timestep": self.sigma}
        arguments |= {"cond": x - cond, "uncond": x - uncond, "cond_scale": weight}
        return x - function({**arguments, "input_cond": self.conds[0], "input_uncond": self.conds[1]})

    def finish(self, denoised: torch.Tensor) -> torch.Tensor:
        """The post-cfg functions on the total."""
        for function in self.model_options.get("sampler_post_cfg_function", []):
            arguments = {**self._arguments(), **self._pair_arguments(*self.pair), "denoised": denoised}
            denoised = function({**arguments, "cond": self.conds[0], "uncond": self.conds[1]})
        return denoised

    def stored(self, computed: StoredTerms) -> StoredTerms:
        """Differences to be used again in later calls."""
        return computed

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
