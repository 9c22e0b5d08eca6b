"""The loss on held-out pictures, with the same noise and timesteps every time, so that values are comparable."""

from collections.abc import Sequence

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from ..base.noise_schedule import NoiseSchedule
from ..seeds import normal, uniform
from ..state.ema import WEIGHTS, Averages
from ..state.names import VALIDATION
from .step import Batch, noised, sample_losses

LEVELS = 4  # noise levels per picture, one in each quarter of the noise schedule


@torch.no_grad()
def held_out_loss(
    accelerator: Accelerator,
    network: nn.Module,
    pictures: Sequence[Batch],
    schedule: NoiseSchedule,
    seed: int,
    together: int = 1,
) -> float:
    """Return the unweighted mean squared error over held-out pictures at fixed noise. All processes take part.

    Args:
        network: as accelerate prepared it.
        pictures: batches of one picture, whose slot is the picture's index.
        together: pictures of one size per forward pass; the passes do not depend on the number of processes.
    """
    rank, world = accelerator.process_index, accelerator.num_processes
    passes = _passes(pictures, together)
    total = torch.zeros((), dtype=torch.float64)
    for first in range(0, len(passes), world):
        some = passes[min(first + rank, len(passes) - 1)]  # sharded weights need every process in every pass
        loss = _loss(network, some, schedule, seed, accelerator.device)
        if first + rank < len(passes):
            total += loss
    summed = accelerator.reduce(total.float().to(accelerator.device), "sum")
    return float(summed) / len(pictures)  # type: ignore[arg-type]


def _passes(pictures: Sequence[Batch], together: int) -> list[list[Batch]]:
    """Group pictures of one size, at most ``together``, in order."""
    sizes: dict[tuple[int, ...], list[Batch]] = {}
    for picture in pictures:
        sizes.setdefault(tuple(picture.latents.shape), []).append(picture)
    return [some[i : i + together] for some in sizes.values() for i in range(0, len(some), together)]


def _loss(
    network: nn.Module, pictures: Sequence[Batch], schedule: NoiseSchedule, seed: int, device: torch.device
) -> Tensor:
    """Return the sum of the pictures' losses, each a mean over its noise levels."""
    shape = tuple(pictures[0].latents.shape[1:])
    slots = [picture.slots[0] for picture in pictures for _ in range(LEVELS)]
    places = [(picture.slots[0], level) for picture in pictures for level in range(LEVELS)]
    t = torch.tensor([int((k + uniform(seed, "validation", slot, k)) / LEVELS * schedule.steps) for slot, k in places])
    noise = torch.stack([normal(shape, seed, "validation noise", slot, k) for slot, k in places])
    latents = torch.cat([picture.latents.expand(LEVELS, -1, -1, -1) for picture in pictures])
    captions = [caption for picture in pictures for caption in list(picture.captions) * LEVELS]
    ids = [picture.time_ids.expand(LEVELS, -1) for picture in pictures if picture.time_ids is not None]
    masks = [picture.mask.expand(LEVELS, -1, -1, -1) for picture in pictures if picture.mask is not None]
    batch = Batch(latents, captions, slots, torch.cat(ids) if ids else None, torch.cat(masks) if masks else None)
    answer = noised(latents.to(device), noise.to(device), t.to(device), schedule, None)
    return sample_losses(network, batch, answer).cpu().double().sum() / LEVELS


def validate(
    accelerator: Accelerator,
    network: nn.Module,
    averages: Averages,
    pictures: Sequence[Batch],
    schedule: NoiseSchedule,
    seed: int,
    together: int = 1,
) -> dict[str, float]:
    """Return `held_out_loss` of the weights and of each average, as {"validation/weights": ..., ...}."""
    losses = {f"{VALIDATION}{WEIGHTS}": held_out_loss(accelerator, network, pictures, schedule, seed, together)}
    for name in averages.names:
        with averages.applied(name):
            losses[f"{VALIDATION}{name}"] = held_out_loss(accelerator, network, pictures, schedule, seed, together)
    return losses
