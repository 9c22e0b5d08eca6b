"""What the network is run on while it is measured: every picture at every noise level, each with noise of its own."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from ..base.model import Base, Condition
from ..base.noise_schedule import NoiseSchedule
from ..seeds import normal

BATCH = 4  # noise levels of one picture in one forward pass
Input = tuple[Tensor, Tensor]  # x_t [B, C, h, w] and timesteps [B]


def noise_levels(schedule: NoiseSchedule, count: int) -> tuple[int, ...]:
    """``count`` timesteps, one in the middle of each equal part of the schedule; fewer where it has fewer steps."""
    parts = min(count, schedule.steps)
    return tuple(int((i + 0.5) * schedule.steps / parts) for i in range(parts))


def noisy_inputs(
    schedule: NoiseSchedule, latent: Tensor, levels: tuple[int, ...], *place: int | str
) -> Iterator[Input]:
    """One picture at every level, a few at a time.

    Args:
        schedule: of the base.
        latent: [C, h, w], clean and scaled.
        levels: timesteps.
        place: of the random numbers, such as (seed, "calibrate", number of the picture).
    """
    for first in range(0, len(levels), BATCH):
        part = levels[first : first + BATCH]
        noise = torch.stack([normal(tuple(latent.shape), *place, t) for t in part])
        t = torch.tensor(part)
        yield schedule.add_noise(latent.float().cpu().expand(len(part), -1, -1, -1), noise, t), t


@contextmanager
def network_on(base: Base, device: torch.device | str) -> Iterator[Condition]:
    """The UNet in eval mode on a device while the block runs; gives the empty prompt's condition there."""
    home = next(base.unet.parameters()).device
    training = base.unet.training
    base.unet.to(device).eval()
    try:
        yield base.null.to(device)
    finally:
        base.unet.to(home).train(training)


def predict(base: Base, null: Condition, x: Tensor, t: Tensor) -> Tensor:
    """The UNet's output [B, C, h, w] under the empty prompt, on its device."""
    device = null.hidden_states.device
    return base.unet(x.to(device), t.to(device), **null.repeated(len(x)).arguments(), return_dict=False)[0]
