"""What `--dry-run` tells: the pictures, what is trained, and what it costs. Nothing is written."""

import datetime
from pathlib import Path

import torch
from accelerate import Accelerator

from gcfg_core.null_text import FEATURE, text_attentions

from ..base.model import Base
from ..data.latent_cache import LatentCache
from ..data.latent_reader import wanted_latents
from ..data.order import BatchPlan
from ..data.picture import Size
from ..data.scan import Scan, scan_folder
from .build import null_text_network, read_start, text_network
from .config import RunConfig
from .cost import Measured, checkpoint_bytes, is_cheap, measure, memory_of
from .ema import trainable
from .image_feed import split
from .machine import global_batch, open_machine
from .network import Network
from .optimizer import build_optimizer
from .session import open_base
from .step import Batch

TIME_IDS = (1024.0, 1024.0, 0.0, 0.0, 1024.0, 1024.0)


def plan(config: RunConfig) -> str:
    """The plan of a run, as text.

    Raises:
        InputError: something given cannot be used, as it would be found when the run begins.
    """
    accelerator = open_machine(config.loop)
    scan = scan_folder(config.data.model_copy(update={"cache": None}))  # which would be written into
    base = open_base(config, scan)
    batch = global_batch(config.loop, accelerator)
    training, kept_out = split(scan, config.loop.held_out, config.loop.seed)
    order = BatchPlan(training, batch, config.loop.seed, config.data.flip)
    network = _network(config, base)
    build_optimizer(config.optimizer, [p for p in network.parameters() if p.requires_grad], fused=False)
    largest = max((bucket.size for bucket in training), key=lambda size: size.width * size.height)
    found = _measured(config, base, network, accelerator, largest)
    wanted = wanted_latents(scan.pictures, training, config.data.flip) + wanted_latents(scan.pictures, kept_out, 0.0)
    cache = LatentCache(config.data.cache or Path(config.output), base.codec).estimate(wanted)
    sections = [
        scan.report(batch),
        _training(config, base, network, order, scan, accelerator),
        _memory(config, network, found),
        f"disk      {_size(cache)} of latents, {_size(checkpoint_bytes(network, config))} a checkpoint, "
        f"{config.record.keep_last + 1} of them while one is written",
        _time(config, found),
        "nothing was written",
    ]
    return "\n".join(sections)


def _network(config: RunConfig, base: Base) -> Network:
    """The network that would be trained; constants that are not measured yet are zero."""
    if config.model.kind == "text":
        return text_network(base, config.data.captions != "none", config.model.train_text)
    if config.model.start is not None:
        start = read_start(Path(config.model.start), config.model.kind == "null-text-lora")
    else:
        widths = {path: block.attn2.to_q.in_features for path, block in text_attentions(base.unet)}  # type: ignore[union-attr]
        start = {f"{path}.{FEATURE}": torch.zeros(1, 1, width) for path, width in widths.items()}  # type: ignore[arg-type]
    return null_text_network(base, start, config.model, config.loop.seed)


def _measured(config: RunConfig, base: Base, network: Network, accelerator: Accelerator, size: Size) -> Measured | None:
    """A microbatch of the largest size on random data; None where that would take long."""
    if not is_cheap(network, accelerator):
        return None
    if config.loop.gradient_checkpointing:
        network.unet.enable_gradient_checkpointing()
    count, factor = config.loop.batch_size, base.codec.factor
    latents = torch.randn(count, base.codec.channels, size.height // factor, size.width // factor)
    network.to(accelerator.device).train()
    return measure(network, Batch(latents, [""] * count, range(count), torch.tensor([TIME_IDS] * count)), accelerator)


def _training(
    config: RunConfig, base: Base, network: Network, order: BatchPlan, scan: Scan, accelerator: Accelerator
) -> str:
    loop, trained = config.loop, sum(value.numel() for value in trainable(network).values())
    whole = sum(value.numel() for value in network.parameters())
    seen = len(scan.pictures) - loop.held_out
    return "\n".join([
        f"base      {base.name}, {base.schedule.prediction_type}, sha256 {base.sha256[:12]}",
        f"training  {config.model.kind}: {trained / 1e6:.2f} M of {whole / 1e6:.2f} M parameters, {loop.precision}, "
        f"{config.optimizer.optimizer} at {config.optimizer.lr:g}",
        f"batch     {order.batch} = {loop.batch_size} x {loop.accumulation} accumulated x "
        f"{accelerator.num_processes} processes on {accelerator.device.type}",
        f"steps     {loop.steps} = {loop.steps / order.steps_per_epoch:.1f} epochs of {order.steps_per_epoch} steps, "
        f"{seen} pictures, {loop.held_out} held out",
    ])  # fmt: skip


def _memory(config: RunConfig, network: Network, found: Measured | None) -> str:
    memory = memory_of(network, config, found.activations if found else None)
    parts = [
        f"weights {_size(memory.weights)}",
        f"gradients {_size(memory.gradients)}",
        f"optimizer {_size(memory.optimizer)}",
        f"averages {_size(memory.averages)}",
    ]
    if memory.activations is None:
        last = "and the activations, which were not measured: the network is large for a CPU"
    else:
        last = f"and activations {_size(memory.activations)}, measured: {_size(memory.counted + memory.activations)}"
    return f"memory    {', '.join(parts)}: {_size(memory.counted)} on each device, {last}"


def _time(config: RunConfig, found: Measured | None) -> str:
    if found is None:
        return "time      not measured: the network is large for a CPU"
    step = found.seconds * config.loop.accumulation
    whole = datetime.timedelta(seconds=round(step * config.loop.steps))
    return f"time      {step:.3g} s a step, measured on random data without the optimizer; {whole} for all steps"


def _size(count: float) -> str:
    for unit in ("B", "KB", "MB"):
        if count < 1000.0:
            return f"{count:.3g} {unit}"
        count /= 1000.0
    return f"{count:.2f} GB"
