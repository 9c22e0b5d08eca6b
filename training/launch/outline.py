"""A run's summary as text: what is trained, for how long, and at what cost."""

import datetime
from collections.abc import Sequence

from accelerate import Accelerator

from ..base.model import Base
from ..console.output import size_text
from ..data.order import BatchOrder
from ..data.picture import Picture
from ..kinds.network import Network
from ..sample.words import unknown_words
from ..settings.config import RunConfig
from ..state.ema import trainable
from .caption_lines import caption_lines
from .cost import Measured, checkpoint_bytes, memory_of


def training_lines(
    config: RunConfig,
    base: Base,
    network: Network,
    order: BatchOrder,
    pictures: Sequence[Picture],
    accelerator: Accelerator,
) -> str:
    """Return lines about base, network, batch and steps; ``pictures`` are all of the scan."""
    loop, trained = config.loop, sum(value.numel() for value in trainable(network).values())
    whole = sum(value.numel() for value in network.parameters())
    return "\n".join([
        f"base      {base.name}, {base.schedule.prediction_type}, sha256 {base.sha256[:12]}",
        *(f"          {note}" for note in base.notes),
        f"training  {config.model.kind}: {trained / 1e6:.2f} M of {whole / 1e6:.2f} M parameters, {loop.precision}, "
        f"{config.optimizer.optimizer} at {config.optimizer.lr:g}",
        f"batch     {order.batch} = {loop.batch_size} x {loop.accumulation} accumulated x "
        f"{accelerator.num_processes} processes on {accelerator.device.type}",
        f"steps     {loop.steps} = {loop.steps / order.steps_per_epoch:.1f} epochs of {order.steps_per_epoch} steps, "
        f"{len(pictures) - loop.held_out} pictures, {loop.held_out} held out",
        *_beware(config, base, order),
        *caption_lines(config, base, pictures),
    ])  # fmt: skip


def _beware(config: RunConfig, base: Base, order: BatchOrder) -> list[str]:
    """Return warnings about settings that may be mistakes."""
    lines = []
    if order.repeats:
        slots = order.steps_per_epoch * order.batch
        lines.append(f"repeats   {order.repeats} of {slots} slots of an epoch, to fill the last batch of each bucket")
    unknown = unknown_words(base, config.record.prompt)
    if unknown:
        lines.append(f"prompt    with words that {base.name} does not know: {', '.join(map(repr, unknown))}")
    return lines


def memory_line(config: RunConfig, network: Network, activations: int | None = None, why: str = "") -> str:
    """Return the line about memory on each device; ``why`` says why activations were not measured."""
    memory = memory_of(network, config, activations)
    parts = [
        f"weights {size_text(memory.weights)}",
        f"gradients {size_text(memory.gradients)}",
        f"optimizer {size_text(memory.optimizer)}",
        f"averages {size_text(memory.averages)}",
    ]
    if memory.activations is None:
        last = f"and the activations{why}"
    else:
        together = size_text(memory.counted + memory.activations)
        last = f"and activations {size_text(memory.activations)}, measured: {together}"
    return f"memory    {', '.join(parts)}: {size_text(memory.counted)} on each device, {last}"


def disk_line(config: RunConfig, network: Network, latents: int) -> str:
    """Return the line about the size of latents and checkpoints."""
    best = config.record.validate_every > 0 and config.loop.held_out > 0  # the best checkpoint may be older
    return (
        f"disk      {size_text(latents)} of latents, {size_text(checkpoint_bytes(network, config))} a checkpoint, "
        f"{config.record.keep_last + 1 + best} of them while one is written"
    )


def time_line(config: RunConfig, measured: Measured | None, why: str = "") -> str:
    """Return the line about seconds per step and in total; None: not measured, and ``why`` says why."""
    if measured is None:
        return f"time      not measured: {why}"
    step = measured.seconds * config.loop.accumulation
    whole = datetime.timedelta(seconds=round(step * config.loop.steps))
    return f"time      {step:.3g} s a step, measured on random data without the optimizer; {whole} for all steps"
