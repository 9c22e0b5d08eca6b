"""Collect losses and gradient norms on the device until the next log, so that no step waits for the device."""

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from gcfg_core.errors import InputError


@dataclass
class StepNumbers:
    """The numbers of the steps since the last call of `take`."""

    steps: list[int] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    numbers: list[Tensor] = field(default_factory=list)

    def add(self, step: int, rate: float, loss: Tensor, norm: Tensor) -> None:
        """Add a step's learning rate, this process's part of its loss, and its gradient norm."""
        self.steps.append(step)
        self.rates.append(rate)
        self.numbers.append(torch.stack([loss.float(), norm.to(loss.device).float()]))

    def take(self, accelerator: Accelerator) -> list[dict[str, Any]]:
        """Return the rows for the log, with losses summed over the processes. All processes call this at the same step.

        With loss scaling (fp16) a step with a non-finite gradient is skipped; its norm is None.

        Raises:
            InputError: a loss is not finite, or a gradient is not finite without loss scaling.
        """
        if not self.steps:
            return []
        numbers = torch.stack(self.numbers)  # [steps, 2]
        losses = accelerator.reduce(numbers[:, 0].contiguous(), "sum").tolist()  # type: ignore[union-attr]
        norms = numbers[:, 1].tolist()
        rows = [
            {"step": step, "loss": loss, "grad_norm": norm, "lr": rate}
            for step, rate, loss, norm in zip(self.steps, self.rates, losses, norms, strict=True)
        ]
        self.steps, self.rates, self.numbers = [], [], []
        for row in rows:
            for name, said in (("loss", "loss"), ("grad_norm", "norm of the gradient")):
                if math.isfinite(row[name]):
                    continue
                if name == "loss" or accelerator.scaler is None:
                    raise InputError(f"{said} of step {row['step']}", "a finite number", str(row[name]),
                                     "Lower the learning rate, or take --precision bf16 or fp32; "
                                     "the same command continues from the last checkpoint, if any.")  # fmt: skip
                row[name] = None
        return rows
