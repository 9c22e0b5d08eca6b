"""Measure the change of a UNet's output when constants replace its cross-attentions."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gcfg_core.concept.null_text import text_attentions

from ..base.model import Base
from .calibrate import Calibration
from .inputs import network_on, noisy_inputs, predict


@dataclass(frozen=True)
class OutputChange:
    """Relative errors sqrt(sum ||y_null - y_base||^2 / sum ||y_base||^2) over all pictures.

    Attributes:
        levels: relative error at each timestep.
    """

    levels: Mapping[int, float]

    @property
    def mean(self) -> float:
        """Mean over the noise levels."""
        return sum(self.levels.values()) / max(len(self.levels), 1)


@torch.no_grad()
def output_change(
    base: Base, calibration: Calibration, latents: Iterable[Tensor], *, device: torch.device | str
) -> OutputChange:
    """Compare the null-text network with the base under the empty prompt, at the same inputs.

    The noise differs from that of `calibrate`.

    Args:
        base: still with its cross-attention; restored afterwards.
        calibration: this base's.
        latents: as in `calibrate`.
        device: device to run on.
    """
    error = dict.fromkeys(calibration.levels, 0.0)
    size = dict.fromkeys(calibration.levels, 0.0)
    with network_on(base, device) as null:
        for number, latent in enumerate(latents):
            place = (calibration.seed, "change", number)
            for x, t in noisy_inputs(base.schedule, latent, calibration.levels, *place):
                whole = predict(base, null, x, t).cpu().double()  # not every device has float64
                with constant_attention(base.unet, calibration.constants):
                    difference = predict(base, null, x, t).cpu().double() - whole
                for level, off, all_of_it in zip(t.tolist(), difference, whole, strict=True):
                    error[level] += float(off.square().sum())
                    size[level] += float(all_of_it.square().sum())
    return OutputChange({level: _relative(error[level], size[level]) for level in calibration.levels})


def _relative(error: float, size: float) -> float:
    return (error / size) ** 0.5 if size > 0.0 else (0.0 if error == 0.0 else float("inf"))


@contextmanager
def constant_attention(unet: Any, constants: Mapping[str, Tensor]) -> Iterator[None]:
    """Make every cross-attention return its constant while the block runs, without changing the modules."""

    def constant(value: Tensor) -> Callable[..., Tensor]:
        return lambda module, args, output: value.to(output).expand_as(output)

    hooks = [
        block.attn2.register_forward_hook(constant(constants[path]))  # type: ignore[union-attr]
        for path, block in text_attentions(unet)
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
