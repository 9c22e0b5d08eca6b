"""The network's inputs during measurement: every picture at every noise level, each with its own noise."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from ..base.model import Base, Condition
from ..base.noise_schedule import NoiseSchedule
from ..seeds import normal

BATCH = 4  # noise levels of a picture per forward pass
Input = tuple[Tensor, Tensor]  # x_t [B, C, h, w] and timesteps [B]


def noise_levels(schedule: NoiseSchedule, count: int) -> tuple[int, ...]:
    """Return ``count`` timesteps, the middles of equal parts of the noise schedule; fewer if it has fewer steps."""
    parts = min(count, schedule.steps)
    return tuple(int((i + 0.5) * schedule.steps / parts) for i in range(parts))


def noisy_inputs(
    schedule: NoiseSchedule, latent: Tensor, levels: tuple[int, ...], *place: int | str
) -> Iterator[Input]:
    """Yield a picture at every level, a few levels at a time.

    Args:
        schedule: the base's.
        latent: [C, h, w], clean and scaled.
        levels: timesteps.
        place: key of the random numbers, for example (seed, "calibrate", picture index).
    """
    for first in range(0, len(levels), BATCH):
        part = levels[first : first + BATCH]
        noise = torch.stack([normal(tuple(latent.shape), *place, t) for t in part])
        t = torch.tensor(part)
        yield schedule.add_noise(latent.float().cpu().expand(len(part), -1, -1, -1), noise, t), t


@contextmanager
def network_on(base: Base, device: torch.device | str) -> Iterator[Condition]:
    """Put the UNet on a device in eval mode while the block runs; yield the empty prompt's condition there."""
    home = next(base.unet.parameters()).device
    training = base.unet.training
    base.unet.to(device).eval()
    try:
        yield base.null.to(device)
    finally:
        base.unet.to(home).train(training)


def predict(base: Base, null: Condition, x: Tensor, t: Tensor) -> Tensor:
    """Return the UNet's output [B, C, h, w] under the empty prompt, on its device."""
    device = null.hidden_states.device
    return base.unet(x.to(device), t.to(device), **null.repeated(len(x)).arguments(), return_dict=False)[0]
