"""Estimate the memory and time of a step: counted from shapes, or measured on random data if that is fast."""

import time
from dataclasses import dataclass

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from ..loop.step import Batch
from ..optimizers import optimizer_of
from ..settings.config import RunConfig
from ..state.ema import profiles, trainable

CHEAP = 1e12  # operations up to which a CPU runs the passes: about twenty seconds on two cores
TIMED = 2  # passes
PASSES = 1 + TIMED  # the first pass warms up
BOTH_WAYS = 3  # operations of a forward and backward pass, relative to the forward pass


@dataclass(frozen=True)
class Memory:
    """Bytes on one device; activations are None if they were not measured."""

    weights: int
    gradients: int
    optimizer: int
    averages: int
    activations: int | None = None

    @property
    def counted(self) -> int:
        """The sum without activations."""
        return self.weights + self.gradients + self.optimizer + self.averages


@dataclass(frozen=True)
class Measured:
    """Measured forward and backward pass of a microbatch: bytes of activations kept for backward, and seconds."""

    activations: int
    seconds: float


def memory_of(network: nn.Module, config: RunConfig, activations: int | None = None) -> Memory:
    """Return the memory of a network during training; sharding (FSDP) divides it."""
    trained = list(trainable(network).values())
    count = sum(value.numel() for value in trained)
    return Memory(
        weights=sum(value.nbytes for value in network.parameters()),
        gradients=sum(value.nbytes for value in trained),
        optimizer=count * optimizer_of(config.optimizer.optimizer).bytes_per_parameter,
        averages=count * 4 * len(profiles(config.ema)),
        activations=activations,
    )


def checkpoint_bytes(network: nn.Module, config: RunConfig) -> int:
    """Return the size of a checkpoint on disk."""
    count = sum(value.numel() for value in trainable(network).values())
    return count * (4 + 4 * len(profiles(config.ema)) + optimizer_of(config.optimizer.optimizer).bytes_per_parameter)


def operations(network: nn.Module, batch: Batch) -> float:
    """Count the floating point operations of a forward and backward pass, without running it.

    Args:
        batch: of the trained size.
    """
    with torch.no_grad(), FakeTensorMode(allow_non_fake_inputs=True), FlopCounterMode(display=False) as counter:
        time_ids = None if batch.time_ids is None else torch.empty_like(batch.time_ids)
        network(torch.empty_like(batch.latents), torch.full((len(batch.latents),), 500), batch.captions, time_ids)
    return float(BOTH_WAYS * counter.get_total_flops())


def why_not_measured(network: nn.Module, batch: Batch, accelerator: Accelerator) -> str:
    """Return why `measure` would take long; empty on a GPU, or if the network is small."""
    if accelerator.device.type != "cpu":
        return ""
    count = operations(network, batch)
    return f"{count / 1e12:.3g} TFLOP a forward and backward pass, long on a CPU" if count * PASSES > CHEAP else ""


def measure(network: nn.Module, batch: Batch, accelerator: Accelerator) -> Measured:
    """Run a microbatch forward and backward. The first pass, a warm-up, counts the activations.

    Args:
        network: on its device.
        batch: random latents of the trained size.
    """
    kept: dict[int, int] = {}
    own = {value.untyped_storage().data_ptr() for value in network.parameters()}

    def count(value: Tensor) -> Tensor:
        storage = value.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return value

    with torch.autograd.graph.saved_tensors_hooks(count, lambda value: value):
        _pass(network, batch, accelerator)
    began = time.perf_counter()
    for _ in range(TIMED):
        _pass(network, batch, accelerator)
    seconds = (time.perf_counter() - began) / TIMED
    network.zero_grad()
    return Measured(sum(kept.values()), seconds)


def _pass(network: nn.Module, batch: Batch, accelerator: Accelerator) -> None:
    device = accelerator.device
    x = batch.latents.to(device)
    ids = None if batch.time_ids is None else batch.time_ids.to(device)
    with accelerator.autocast():
        output = network(x, torch.full((len(x),), 500, device=device), batch.captions, ids)
    output.float().square().mean().backward()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
