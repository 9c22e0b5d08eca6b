"""The optimizers, their settings, and the learning rate at each step.

To add an optimizer, add an entry to `OPTIMIZERS`: the setting's choices, the memory estimate, the check before a run
and the checkpoints follow from it.
"""

import importlib
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, Field, PositiveFloat

from gcfg_core.errors import InputError

from .console.arguments import nearest

if TYPE_CHECKING:
    import torch
    from torch import nn


@dataclass(frozen=True)
class StateLayout:
    """How an optimizer's state lies in memory; decides which checkpoints can be restored.

    Attributes:
        step: name of the per-parameter step counter; None if the optimizer has none.
        in_blocks: True if one state value covers a block of neighbouring weights in memory, so that results depend on
            the memory layout (--channels-last).
    """

    step: str | None
    in_blocks: bool


@dataclass(frozen=True)
class Optimizer:
    """An entry of `OPTIMIZERS`.

    Attributes:
        build: creates it from the settings, the trained parameters, and whether to use torch's fused kernel (CUDA).
        check: raises InputError if a package that `build` needs is missing.
        bytes_per_parameter: size of the state.
        state: layout of the state.
        needs: package to install, for the help; empty if none.
    """

    build: "Callable[[OptimizerConfig, Iterable[nn.Parameter], bool], torch.optim.Optimizer]"
    check: Callable[[], object]
    bytes_per_parameter: int
    state: StateLayout
    needs: str


def _adamw(config: "OptimizerConfig", parameters: "Iterable[nn.Parameter]", fused: bool) -> "torch.optim.Optimizer":
    torch = importlib.import_module("torch")
    return torch.optim.AdamW(parameters, fused=fused, **_adam_settings(config))


def _adamw8bit(config: "OptimizerConfig", parameters: "Iterable[nn.Parameter]", fused: bool) -> "torch.optim.Optimizer":
    return _bitsandbytes().optim.AdamW8bit(parameters, **_adam_settings(config))


def _adam_settings(config: "OptimizerConfig") -> dict[str, Any]:
    return {"lr": config.lr, "betas": config.betas, "weight_decay": config.weight_decay, "eps": config.eps}


def _bitsandbytes() -> Any:
    try:
        return importlib.import_module("bitsandbytes")
    except ImportError:
        raise InputError("optimizer adamw8bit", "the package bitsandbytes", "none installed",
                         "pip install bitsandbytes (it needs a GPU), or take --optimizer adamw.") from None  # fmt: skip


OPTIMIZERS: dict[str, Optimizer] = {
    "adamw": Optimizer(
        build=_adamw, check=lambda: None, bytes_per_parameter=8, state=StateLayout("step", in_blocks=False), needs=""
    ),
    "adamw8bit": Optimizer(
        build=_adamw8bit, check=_bitsandbytes, bytes_per_parameter=2, state=StateLayout("step", in_blocks=True),
        needs="bitsandbytes",
    ),
}  # fmt: skip
if TYPE_CHECKING:
    OptimizerName = str
else:
    OptimizerName = Literal[tuple(OPTIMIZERS)]
NEEDS = "; ".join(f"{name} needs {entry.needs}" for name, entry in OPTIMIZERS.items() if entry.needs)


class OptimizerConfig(BaseModel, extra="forbid", frozen=True, allow_inf_nan=False):
    """The optimizer and its learning rate."""

    optimizer: OptimizerName = Field(default="adamw", description=NEEDS)
    lr: PositiveFloat = Field(default=1e-5, description="learning rate")
    betas: tuple[Annotated[float, Field(ge=0.0, lt=1.0)], Annotated[float, Field(ge=0.0, lt=1.0)]] = (0.9, 0.999)
    weight_decay: Annotated[float, Field(ge=0.0)] = 0.01
    eps: PositiveFloat = 1e-8
    max_grad_norm: PositiveFloat = Field(default=1.0, description="gradients with a larger norm are scaled down to it")
    lr_schedule: Literal["constant", "cosine"] = "constant"
    warmup_steps: Annotated[int, Field(ge=0)] = Field(default=0, description="steps in which the rate rises from 0")


def optimizer_of(name: str) -> Optimizer:
    """Return the entry of `OPTIMIZERS` with this name.

    Raises:
        InputError: the name is unknown.
    """
    if name not in OPTIMIZERS:
        remedy = nearest(name, OPTIMIZERS, "Choose from these.")
        raise InputError("optimizer", " or ".join(OPTIMIZERS), repr(name), remedy)
    return OPTIMIZERS[name]


def learning_rate(config: OptimizerConfig, step: int, steps: int) -> float:
    """Return the rate of a step (from 0): linear warm-up, then constant, or a half cosine down to 0 at ``steps``."""
    if step < config.warmup_steps:
        return config.lr * (step + 1) / (config.warmup_steps + 1)
    if config.lr_schedule == "constant":
        return config.lr
    share = (step - config.warmup_steps) / max(1, steps - config.warmup_steps)
    return config.lr * 0.5 * (1.0 + math.cos(math.pi * min(1.0, share)))


def set_learning_rate(optimizer: "torch.optim.Optimizer", rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate
