"""One optimization step: noise from each sample's place alone, and a loss averaged over the global batch.

The global batch is divided among the processes and cut into microbatches. Each sample has a slot, and its random
numbers depend only on (seed, step, slot), so that the sum is the same for every division of the batch.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from ..base.noise_schedule import NoiseSchedule
from ..seeds import normal, uniform
from ..settings.config import LossConfig


@dataclass(frozen=True, eq=False)
class Batch:
    """Samples of one size.

    Attributes:
        latents: [B, C, h, w] float32, on the CPU.
        captions: a caption for each sample.
        slots: each sample's place in the step's global batch.
        time_ids: SDXL: size ids [B, 6]; else None.
        mask: [B, 1, h, w] float32 from 0 to 1, the weight of each latent pixel in the loss; None: 1 everywhere.
    """

    latents: Tensor
    captions: Sequence[str]
    slots: Sequence[int]
    time_ids: Tensor | None = None
    mask: Tensor | None = None

    def split(self, size: int) -> list["Batch"]:
        """Cut the batch into pieces of at most ``size`` samples, in order."""
        return [self._piece(slice(start, start + size)) for start in range(0, len(self.latents), size)]

    def _piece(self, part: slice) -> "Batch":
        ids, mask = (None if value is None else value[part] for value in (self.time_ids, self.mask))
        return Batch(self.latents[part], self.captions[part], self.slots[part], ids, mask)


@dataclass(frozen=True, eq=False)
class Noised:
    """The network's input and target: x and target [B, C, h, w], timesteps t [B], loss weights [B]."""

    x: Tensor
    target: Tensor
    t: Tensor
    weight: Tensor


def draw_noise(shape: tuple[int, ...], offset: float, *place: int) -> Tensor:
    """Draw the noise of one sample [C, h, w] at (seed, step, slot); an offset adds a random number per channel."""
    noise = normal(shape, place[0], "noise", *place[1:])
    if offset > 0.0:
        noise = noise + offset * normal((shape[0], 1, 1), place[0], "offset", *place[1:])
    return noise


def add_noise(
    batch: Batch, schedule: NoiseSchedule, loss: LossConfig, seed: int, step: int, device: torch.device
) -> Noised:
    """Draw noise and timesteps for every sample, and noise the latents, on ``device``."""
    shape = tuple(batch.latents.shape[1:])
    noise = torch.stack([draw_noise(shape, loss.noise_offset, seed, step, slot) for slot in batch.slots])
    t = torch.tensor([int(uniform(seed, "timestep", step, slot) * schedule.steps) for slot in batch.slots])
    x0 = moved(batch.latents, device)
    return noised(x0, moved(noise, device), moved(t, device), schedule, loss.min_snr_gamma)


def moved(value: Tensor, device: torch.device) -> Tensor:
    """Move a tensor to the device; copies to a GPU use pinned memory and do not block."""
    if device.type != "cuda" or value.device.type != "cpu":
        return value.to(device)
    return (value if value.is_pinned() else value.pin_memory()).to(device, non_blocking=True)


def noised(x0: Tensor, noise: Tensor, t: Tensor, schedule: NoiseSchedule, gamma: float | None) -> Noised:
    """Return x_t, target and loss weight for x0 and noise [B, C, h, w] at timesteps t [B], all on one device."""
    weight = schedule.loss_weight(t, gamma, x0)
    return Noised(schedule.add_noise(x0, noise, t), schedule.target(x0, noise, t), t, weight)


def sample_losses(network: nn.Module, batch: Batch, noised: Noised) -> Tensor:
    """Return the weighted mean squared error of each sample, [B] float32; with masks, the masked mean."""
    ids = None if batch.time_ids is None else moved(batch.time_ids, noised.x.device)
    output = network(noised.x, noised.t, batch.captions, ids)
    error = (output.float() - noised.target).square()
    if batch.mask is None:
        return noised.weight * error.flatten(1).mean(1)
    return noised.weight * masked_mean(error, moved(batch.mask, error.device))


def masked_mean(error: Tensor, mask: Tensor) -> Tensor:
    """Return sum(m * error) / sum(m) of each sample, [B]: a small opaque part counts as much as a full picture.

    Args:
        error: [B, C, h, w].
        mask: m, [B, 1, h, w]; the mean is 0 if the mask is 0 everywhere.
    """
    counted = (mask.flatten(1).sum(1) * error.shape[1]).clamp_min(torch.finfo(error.dtype).tiny)
    return (mask * error).flatten(1).sum(1) / counted


@dataclass(frozen=True, eq=False)
class Stepper:
    """Runs optimization steps; holds everything that does not change between steps.

    Attributes:
        network: as accelerate prepared it.
        optimizer: as accelerate prepared it.
        global_batch: samples per step over all processes; the loss is averaged over them.
        micro_batch: samples per forward pass.
    """

    accelerator: Accelerator
    network: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: NoiseSchedule
    loss: LossConfig
    seed: int
    global_batch: int
    micro_batch: int
    max_grad_norm: float

    def run(self, batch: Batch, step: int) -> tuple[Tensor, Tensor]:
        """Do one optimization step.

        Args:
            batch: this process's samples of the step.
            step: counted from 0.

        Returns:
            This process's part of the mean loss (the parts of all processes sum to it), and the gradient norm before
            clipping; neither waits for the device.
        """
        pieces = batch.split(self.micro_batch)
        total = torch.zeros((), device=self.accelerator.device)
        for piece in pieces[:-1]:
            with self.accelerator.no_sync(self.network):
                total += self._backward(piece, step)
        total += self._backward(pieces[-1], step)
        norm: Any = self.accelerator.clip_grad_norm_(self.network.parameters(), self.max_grad_norm)
        norm = norm.full_tensor() if hasattr(norm, "full_tensor") else norm  # the norm of sharded weights is sharded
        self.optimizer.step()
        self.optimizer.zero_grad()
        return total, torch.as_tensor(norm)

    def _backward(self, piece: Batch, step: int) -> Tensor:
        """Add a piece's gradient, scaled by the number of processes because wrappers average over them."""
        noised = add_noise(piece, self.schedule, self.loss, self.seed, step, self.accelerator.device)
        part = sample_losses(self.network, piece, noised).sum() / self.global_batch
        self.accelerator.backward(part * self.accelerator.num_processes)
        return part.detach()


class Feed(Protocol):
    """Samples by step: the same at every step, however the run got there.

    Attributes:
        digest: changes when the pictures or captions do.
        pictures: that are trained on.
    """

    @property
    def digest(self) -> str: ...

    @property
    def pictures(self) -> int: ...

    def batches(self, start_step: int, steps: int, rank: int, world: int) -> Iterator[Batch]:
        """This process's part of the global batch of each step from ``start_step`` up to ``steps``."""
        ...

    def held_out(self) -> Sequence[Batch]:
        """The pictures that are not trained on, one a batch; their slots count them."""
        ...
