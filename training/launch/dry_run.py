"""`--dry-run`: show the pictures, what would be trained, and its cost. Write nothing."""

from pathlib import Path

import torch
from accelerate import Accelerator

from gcfg_core.concept.concept_file import EMPTY_PROMPT_IDS

from ..base.model import Base
from ..data.latent_cache import LatentCache
from ..data.latent_reader import wanted_latents
from ..data.order import BatchOrder
from ..data.picture import Size
from ..kinds.network import Network
from ..loop.image_feed import scan_images, split
from ..loop.step import Batch
from ..processes.machine import global_batch, machine
from ..settings.config import RunConfig
from ..state.record import check_record, result_settings
from .cost import Measured, measure, why_not_measured
from .outline import disk_line, memory_line, time_line, training_lines
from .rehearsal import check_paths, rehearse, untrained_network
from .session import open_base, trained_base
from .status import status_of


def dry_run(config: RunConfig) -> str:
    """Return the run's summary as text; empty in all processes but the first.

    Raises:
        InputError: an input cannot be used; the same error as when the run begins.
    """
    with machine(config.loop) as accelerator:
        return _summary(config, accelerator) if accelerator.is_main_process else ""


def _summary(config: RunConfig, accelerator: Accelerator) -> str:
    check_paths(config)
    base = trained_base(config)
    if base is not None:
        rehearse(config, base)
    scan = scan_images(config.data, Path(config.output), keep=False)
    if base is None:
        base = open_base(config, scan)
        rehearse(config, base)
    batch = global_batch(config.loop, accelerator)
    check_record(Path(config.output), result_settings(config, base, scan.digest, batch), scan.pictures)
    training, kept_out = split(scan, config.loop.held_out, config.loop.seed)
    order = BatchOrder(training, batch, config.loop.seed, config.data.flip)
    network = untrained_network(config, base)
    largest = max((bucket.size for bucket in training), key=lambda size: size.width * size.height)
    outcome = _measured(config, base, network, accelerator, largest)
    measured, why = (None, outcome) if isinstance(outcome, str) else (outcome, "")
    wanted = wanted_latents(scan.pictures, training, config.data.flip) + wanted_latents(scan.pictures, kept_out, 0.0)
    folder = config.data.cache or Path(config.output)
    latents = LatentCache(folder, base.codec, transparency=config.data.transparency).estimate(wanted)
    sections = [
        scan.summary(),
        training_lines(config, base, network, order, scan.pictures, accelerator),
        memory_line(config, network, measured and measured.activations, f", which were not measured: {why}"),
        disk_line(config, network, latents),
        time_line(config, measured, why),
        f"run       {status_of(config).text()}",
        "nothing was written",
    ]
    return "\n".join(sections)


def _measured(config: RunConfig, base: Base, network: Network, accelerator: Accelerator, size: Size) -> Measured | str:
    """Measure a microbatch of the largest size on random data; return a reason instead if that would take long."""
    count, factor = config.loop.batch_size, base.codec.factor
    latents = torch.randn(count, base.codec.channels, size.height // factor, size.width // factor)
    batch = Batch(latents, [""] * count, range(count), torch.tensor([EMPTY_PROMPT_IDS] * count))
    why = why_not_measured(network, batch, accelerator)
    if why:
        return why
    if config.loop.gradient_checkpointing:
        network.unet.enable_gradient_checkpointing()
    network.to(accelerator.device).train()
    return measure(network, batch, accelerator)
