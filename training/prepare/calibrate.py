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
    """What was measured.

    Attributes:
        constants: of each layer [1, 1, C] float32, under the path of its `attn2`.
        deviations: of each layer, relative: 0 where it really is constant, 1 where its mean says nothing
            (`gcfg_core.null_text.LayerMean`).
        levels: timesteps.
        pictures: how many.
        seed: of the noise.
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
    """Mean outputs of every cross-attention under ``base.null``, and how far they scatter.

    Args:
        base: the base; its UNet is run in float32 on ``device`` and comes back as it was.
        latents: clean and scaled, each [C, h, w]; sizes may differ. Every token counts the same.
        levels: noise levels each is seen at, spread over the schedule.
        seed: of the noise.
        device: to run on.

    Raises:
        InputError: no latents, or a network without cross-attention.
    """
    steps = noise_levels(base.schedule, levels)
    number = -1
    with network_on(base, device) as null, record_text_attention(base.unet) as means:
        if not means.layers:
            raise InputError(base.name, "a UNet with cross-attention", "none", "It reads no text as it is.")
        for number, latent in enumerate(latents):
            for x, t in noisy_inputs(base.schedule, latent, steps, seed, "calibrate", number):
                predict(base, null, x, t)
    if number < 0:
        raise InputError("calibration", "at least one picture", "none", "Give a folder of images, or none at all.")
    return Calibration(means.constants(), means.deviations(), steps, number + 1, seed)
