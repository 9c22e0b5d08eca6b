"""Guidance drift: the difference between a fine-tuned model's unconditional prediction and its base's."""

import torch
from torch import Tensor

from gcfg_core.concept.concept_file import read_concept

from ..base.read import read_base
from ..sample.concept_model import concept_denoiser
from ..sample.denoiser import base_denoiser
from ..seeds import normal
from .models import Models

POINTS = 20


@torch.no_grad()
def measure_drift(models: Models, names: list[str], pixels: Tensor) -> dict[str, list[float]]:
    """Return the relative change of the denoised prediction under the empty prompt, at several noise levels.

    Args:
        models: locations of the models.
        names: models to compare with the base.
        pixels: pictures to noise, [N, 3, H, W] uint8.

    Returns:
        "timesteps", and for each name ||D_model - D_base|| / ||D_base|| at each timestep.
    """
    base = read_base(str(models.world))
    compared = {name: concept_denoiser(read_concept(models.file(name)), base) for name in names}
    clean, _ = base.codec.encode(pixels.float() / 127.5 - 1.0)
    noise = normal(tuple(clean.shape), "drift")
    levels = torch.linspace(0, 999, POINTS).round().long().tolist()
    found: dict[str, list[float]] = {"timesteps": [float(level) for level in levels], **{name: [] for name in names}}
    untouched = base_denoiser(base)
    for level in levels:
        alpha = float(base.schedule.alphas_cumprod[level])
        noised = alpha**0.5 * clean + (1.0 - alpha) ** 0.5 * noise
        expected = untouched.denoised(noised, alpha, [base.null])[0]
        for name, model in compared.items():
            change = model.denoised(noised, alpha, [base.null])[0] - expected
            found[name].append(float(change.norm() / expected.norm()))
    return found
