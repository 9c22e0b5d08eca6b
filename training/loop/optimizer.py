"""The optimizer, and its learning rate as a function of the step alone, so that there is no state to resume."""

import importlib
import math
from collections.abc import Iterable

import torch
from torch import nn

from gcfg_core.errors import InputError

from ..settings.config import OptimizerConfig


def build_optimizer(config: OptimizerConfig, parameters: Iterable[nn.Parameter], fused: bool) -> torch.optim.Optimizer:
    """AdamW, from torch or from bitsandbytes with 8-bit state.

    Args:
        config: the settings.
        parameters: what is trained.
        fused: torch's one-kernel AdamW, for CUDA.

    Raises:
        InputError: 8-bit AdamW without bitsandbytes.
    """
    shared = {"lr": config.lr, "betas": config.betas, "weight_decay": config.weight_decay, "eps": config.eps}
    if config.optimizer == "adamw":
        return torch.optim.AdamW(parameters, fused=fused, **shared)
    return _bitsandbytes().optim.AdamW8bit(parameters, **shared)


def check_optimizer(config: OptimizerConfig) -> None:
    """Raise InputError where `build_optimizer` would for want of a package."""
    if config.optimizer == "adamw8bit":
        _bitsandbytes()


def _bitsandbytes():
    try:
        return importlib.import_module("bitsandbytes")
    except ImportError:
        raise InputError("optimizer adamw8bit", "the package bitsandbytes", "none installed",
                         "pip install bitsandbytes (it needs a GPU), or take --optimizer adamw.") from None  # fmt: skip


def learning_rate(config: OptimizerConfig, step: int, steps: int) -> float:
    """The rate of a step, counted from 0: linear warm-up, then constant or a half cosine down to 0 at ``steps``."""
    if step < config.warmup_steps:
        return config.lr * (step + 1) / (config.warmup_steps + 1)
    if config.lr_schedule == "constant":
        return config.lr
    progress = (step - config.warmup_steps) / max(1, steps - config.warmup_steps)
    return config.lr * 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate
