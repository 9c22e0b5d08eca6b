"""Conditions limited in time and space by ComfyUI's own nodes, and the places where ComfyUI evaluates them."""

import random
from typing import Any

import torch
from torch import Tensor

from rigs.probe import evaluated, processed


def ranged(pack: Any, condition: list, start: float = 0.0, end: float = 1.0) -> list:
    return pack.run("ConditioningSetTimestepRange", conditioning=condition, start=start, end=end)[0]


def masked(pack: Any, condition: list, mask: Tensor, **widgets: Any) -> list:
    return pack.run("ConditioningSetMask", conditioning=condition, mask=mask, **widgets)[0]


def placed(pack: Any, condition: list, width: int, height: int, x: int = 0, y: int = 0, **widgets: Any) -> list:
    """Limit a condition to a rectangle, in pixels of the picture: 8 for each of the latent."""
    place = {"width": width, "height": height, "x": x, "y": y}
    return pack.run("ConditioningSetArea", conditioning=condition, **place, **widgets)[0]


def combined(pack: Any, *conditions: list) -> list:
    out = conditions[0]
    for condition in conditions[1:]:
        (out,) = pack.run("ConditioningCombine", conditioning_1=out, conditioning_2=condition)
    return out


def with_default(pack: Any, condition: list, default: list) -> list:
    """Combine the conditions so that ``default`` fills the places that ``condition`` leaves out."""
    return pack.run("ConditioningSetDefaultCombine", cond=condition, cond_DEFAULT=default)[0]


def left_half(size: int = 8, count: int = 1) -> Tensor:
    """[count, size, size]: 1 on the left."""
    mask = torch.zeros(count, size, size)
    mask[..., : size // 2] = 1.0
    return mask


def core_cover(model: Any, condition: list, x: Tensor, sigma: float, **options: Any) -> Tensor:
    """Return 1 where ComfyUI's calc_cond_batch gives a prediction [B, C, ...] and 0 where it gives zeros.

    It is the result of a network whose every prediction is 1. ``options`` as for ``processed``.
    """
    model.model.current_patcher = model
    cond = processed(model, condition, x, **options)
    ones = evaluated(model, cond, x, sigma, model_function_wrapper=lambda _, given: torch.ones_like(given["input"]))
    return (ones > 0.5).to(x)


def random_limits(pack: Any, condition: list, r: random.Random, size: int = 16, batch: int = 1) -> list:
    """Limit the condition at random: in time, by an area, by masks, or not at all; its parts are combined."""
    g = torch.Generator().manual_seed(r.randrange(1 << 30))

    def part() -> list:
        out = condition
        if r.random() < 0.5:
            start, end = sorted(r.sample([i / 10 for i in range(11)], 2))
            out = ranged(pack, out, start, end)
        kind = r.choice(["whole", "area", "mask", "soft mask", "bounds", "masks"])
        if kind == "area":
            half = 4 * size  # pixels
            out = placed(pack, out, half, half, r.choice([0, half]), r.choice([0, half]), strength=r.choice([1.0, 0.3]))
        elif kind != "whole":
            count = batch if kind == "masks" else 1
            mask = (torch.rand(count, size, size, generator=g) > 0.5).float()
            if kind == "soft mask":
                mask = torch.rand(1, size, size, generator=g) * (torch.rand(1, size, size, generator=g) > 0.3)
            bounds = "mask bounds" if kind == "bounds" else "default"
            strength = r.choice([1.0, 1.0, 0.5, 0.0])
            out = masked(pack, out, mask, strength=strength, set_cond_area=bounds)
        return out

    out = combined(pack, *(part() for _ in range(r.choice([1, 1, 2, 3]))))
    return with_default(pack, out, condition) if r.random() < 0.1 else out
