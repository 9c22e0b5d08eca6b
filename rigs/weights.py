"""Seeded random weights that keep signals at order one, so that every layer and condition matters."""

import torch
from torch import Tensor, nn


def fill(module: nn.Module, seed: int) -> nn.Module:
    """Set every parameter of `module` to its seeded value in place, and return the module."""
    state = module.state_dict()
    for name, value in random_state(state, seed).items():
        state[name].copy_(value)
    return module


def random_state(shapes: dict[str, Tensor], seed: int) -> dict[str, Tensor]:
    """Make seeded tensors of the given shapes and dtypes.

    Matrices and kernels are normal with variance 1 / fan-in, norm weights are one, biases are small. Integer tensors
    are not changed. The order of names has no effect.
    """
    generator = torch.Generator().manual_seed(seed)
    result = {}
    for name in sorted(shapes):
        like = shapes[name]
        if not like.is_floating_point():
            result[name] = like.clone()
            continue
        noise = torch.randn(like.shape, generator=generator)
        if like.dim() > 1:
            value = noise * like[0].numel() ** -0.5
        elif name.endswith("weight"):
            value = torch.ones_like(noise)
        else:
            value = noise * 0.02
        result[name] = value.to(like.dtype)
    return result
