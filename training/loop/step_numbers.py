"""Losses and gradient norms that wait on the device until they are written down, so that no step waits for them."""

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from gcfg_core.errors import InputError


@dataclass
class StepNumbers:
    """The numbers of the steps since they were last taken."""

    steps: list[int] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    numbers: list[Tensor] = field(default_factory=list)

    def add(self, step: int, rate: float, loss: Tensor, norm: Tensor) -> None:
        """Keep a step's learning rate, this process's part of its loss, and its gradient's norm."""
        self.steps.append(step)
        self.rates.append(rate)
        self.numbers.append(torch.stack([loss.float(), norm.to(loss.device).float()]))

    def take(self, accelerator: Accelerator) -> list[dict[str, Any]]:
        """The rows for the log, losses summed over the processes; all of them must call this at the same step.

        A gradient that is no number has no norm in its row where the loss is scaled (fp16): such steps are left out.

        Raises:
            InputError: a loss that is no number, or a gradient that has moved the weights to where there are none.
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
                                     "the same command goes on from the last checkpoint, if there is one.")  # fmt: skip
                row[name] = None
        return rows
