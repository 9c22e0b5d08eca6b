"""The loss on pictures that are not trained on: the same noise and timesteps every time, so that numbers compare."""

from collections.abc import Sequence

import torch
from accelerate import Accelerator
from torch import nn

from ..schedule import NoiseSchedule
from ..seeds import normal, uniform
from .ema import Averages
from .step import Batch, noised, sample_losses

LEVELS = 4  # noise levels for each picture, one in each quarter of the schedule


@torch.no_grad()
def held_out_loss(
    accelerator: Accelerator, network: nn.Module, pictures: Sequence[Batch], schedule: NoiseSchedule, seed: int
) -> float:
    """Mean squared error over held-out pictures at fixed noise, unweighted; all processes take part.

    Args:
        network: as accelerate prepared it.
        pictures: one a batch, its slot counting it.
    """
    rank, world = accelerator.process_index, accelerator.num_processes
    total = torch.zeros((), dtype=torch.float64)
    for first in range(0, len(pictures), world):
        picture = pictures[min(first + rank, len(pictures) - 1)]  # sharded weights need every process at every pass
        loss = _picture_loss(network, picture, schedule, seed, accelerator.device)
        if first + rank < len(pictures):
            total += loss
    summed = accelerator.reduce(total.float().to(accelerator.device), "sum")
    return float(summed) / len(pictures)  # type: ignore[arg-type]


def _picture_loss(
    network: nn.Module, picture: Batch, schedule: NoiseSchedule, seed: int, device: torch.device
) -> torch.Tensor:
    slot, shape = picture.slots[0], tuple(picture.latents.shape[1:])
    quarters = [(k + uniform(seed, "validation", slot, k)) / LEVELS for k in range(LEVELS)]
    t = torch.tensor([int(quarter * schedule.steps) for quarter in quarters])
    noise = torch.stack([normal(shape, seed, "validation noise", slot, k) for k in range(LEVELS)])
    ids = None if picture.time_ids is None else picture.time_ids.expand(LEVELS, -1)
    batch = Batch(picture.latents.expand(LEVELS, -1, -1, -1), list(picture.captions) * LEVELS, [slot] * LEVELS, ids)
    answer = noised(batch.latents.to(device), noise.to(device), t, schedule, None)
    return sample_losses(network, batch, answer).mean().double().cpu()


def validate(
    accelerator: Accelerator,
    network: nn.Module,
    averages: Averages,
    pictures: Sequence[Batch],
    schedule: NoiseSchedule,
    seed: int,
) -> dict[str, float]:
    """`held_out_loss` of the weights and of each of their averages, as {"validation/weights": ..., ...}."""
    found = {"validation/weights": held_out_loss(accelerator, network, pictures, schedule, seed)}
    for name in averages.names:
        with averages.applied(name):
            found[f"validation/{name}"] = held_out_loss(accelerator, network, pictures, schedule, seed)
    return found
