"""Ask a model for several predictions: in one batch, or like ComfyUI for at most one (cond, uncond) pair."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import comfy.samplers
import torch

from ..other_packs.pair_function import BATCH_FUNCTION


def in_one_batch(
    model: Any, conds: Sequence[list], roles: Sequence[int], x: torch.Tensor, sigma: torch.Tensor, options: dict
) -> list[torch.Tensor]:
    """Return denoised predictions of ``conds`` at (x [B, C, ...], sigma [B]), in one forward if memory allows."""
    options = with_roles(options, list(roles))
    return comfy.samplers.calc_cond_batch(model, list(conds), x, sigma, options)


def as_pair(
    model: Any, conds: Sequence[list], roles: Sequence[int], x: torch.Tensor, sigma: torch.Tensor, options: dict
) -> list[torch.Tensor]:
    """Do the same for at most one condition of each role, as ComfyUI's sampling_function asks for its (cond,
    uncond)."""
    asked: list[list | None] = [None, None]
    for cond, role in zip(conds, roles, strict=True):
        asked[role] = cond
    if BATCH_FUNCTION in options:
        arguments = {"conds": asked, "input": x, "sigma": sigma, "model": model, "model_options": options}
        outputs = options[BATCH_FUNCTION](arguments)
    else:
        outputs = comfy.samplers.calc_cond_batch(model, asked, x, sigma, options)
    return [outputs[role] for role in roles]


def with_roles(options: dict[str, Any], roles: list[int]) -> dict[str, Any]:
    """Return options in which cond_or_uncond has only the values 0 and 1, whatever the number of predictions."""
    if roles == list(range(len(roles))):
        return options
    inner = options.get("model_function_wrapper")

    def named_by_role(apply_model: Any, arguments: dict[str, Any]) -> torch.Tensor:
        named = [roles[index] for index in arguments["cond_or_uncond"]]
        arguments["c"]["transformer_options"]["cond_or_uncond"] = named
        if inner is None:
            return apply_model(arguments["input"], arguments["timestep"], **arguments["c"])
        return inner(apply_model, {**arguments, "cond_or_uncond": named})

    return {**options, "model_function_wrapper": named_by_role}
