"""Measure the constant of every cross-attention: its mean output under the empty prompt, over real pictures and many
noise levels (arXiv 2312.08195, section 3.3)."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from gcfg_core.concept.null_text import record_text_attention
from gcfg_core.errors import InputError

from ..base.model import Base
from .inputs import network_on, noise_levels, noisy_inputs, predict


@dataclass(frozen=True, eq=False)
class Calibration:
    """The result of `calibrate`.

    Attributes:
        constants: of each layer, [1, 1, C] float32, by the path of its `attn2`.
        deviations: relative deviation of each layer: 0 if its output is constant, 1 if the mean explains nothing
            (`gcfg_core.concept.null_text.LayerMean`).
        levels: the measured timesteps.
        pictures: number of pictures.
        seed: seed of the noise.
    """

    constants: dict[str, Tensor]
    deviations: dict[str, float]
    levels: tuple[int, ...]
    pictures: int
    seed: int


@torch.no_grad()
def calibrate(
    base: Base, latents: Iterable[Tensor], *, levels: int, seed: int, device: torch.device | str
) -> Calibration:
    """Return the mean output of every cross-attention under ``base.null``, and its deviation.

    Args:
        base: its UNet runs in float32 on ``device`` and is then restored.
        latents: clean and scaled, each [C, h, w]; sizes may differ. Every token has equal weight.
        levels: number of noise levels per picture, spread over the noise schedule.
        seed: seed of the noise.
        device: device to run on.

    Raises:
        InputError: there are no latents, or the network has no cross-attention.
    """
    steps = noise_levels(base.schedule, levels)
    number = -1
    with network_on(base, device) as null, record_text_attention(base.unet) as means:
        if not means.layers:
            raise InputError(base.name, "a UNet with cross-attention", "none", "It reads no text already.")
        for number, latent in enumerate(latents):
            for x, t in noisy_inputs(base.schedule, latent, steps, seed, "calibrate", number):
                predict(base, null, x, t)
    if number < 0:
        raise InputError("calibration", "at least one picture", "none", "Give a folder with images, or no folder.")
    return Calibration(means.constants(), means.deviations(), steps, number + 1, seed)
