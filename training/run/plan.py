"""What `--dry-run` tells: the pictures, what is trained, and what it costs. Nothing is written."""

from pathlib import Path

import torch
from accelerate import Accelerator

from gcfg_core.null_text import FEATURE, text_attentions

from ..base.model import Base
from ..data.latent_cache import LatentCache
from ..data.latent_reader import wanted_latents
from ..data.order import BatchPlan
from ..data.picture import Size
from .build import null_text_network, read_start, text_network
from .config import RunConfig
from .cost import Measured, is_cheap, measure
from .image_feed import scan_images, split
from .machine import global_batch, open_machine
from .network import Network
from .optimizer import build_optimizer
from .outline import disk_line, memory_line, time_line, training_lines
from .places import check_places
from .record import check_record, result_settings
from .session import open_base
from .status import status_of
from .step import Batch

NOT_MEASURED = ", which were not measured: the network is large for a CPU"
TIME_IDS = (1024.0, 1024.0, 0.0, 0.0, 1024.0, 1024.0)


def plan(config: RunConfig) -> str:
    """The plan of a run, as text.

    Raises:
        InputError: something given cannot be used, as it would be found when the run begins.
    """
    check_places(config)
    accelerator = open_machine(config.loop)
    scan = scan_images(config.data, Path(config.output), quiet=not accelerator.is_main_process, keep=False)
    base = open_base(config, scan)
    batch = global_batch(config.loop, accelerator)
    check_record(Path(config.output), result_settings(config, base.sha256, scan.digest, batch), scan.pictures)
    training, kept_out = split(scan, config.loop.held_out, config.loop.seed)
    order = BatchPlan(training, batch, config.loop.seed, config.data.flip)
    network = _network(config, base)
    build_optimizer(config.optimizer, [p for p in network.parameters() if p.requires_grad], fused=False)
    largest = max((bucket.size for bucket in training), key=lambda size: size.width * size.height)
    found = _measured(config, base, network, accelerator, largest)
    wanted = wanted_latents(scan.pictures, training, config.data.flip) + wanted_latents(scan.pictures, kept_out, 0.0)
    cache = LatentCache(config.data.cache or Path(config.output), base.codec).estimate(wanted)
    pictures = len(scan.pictures) - config.loop.held_out
    sections = [
        scan.report(batch),
        training_lines(config, base, network, order, pictures, accelerator),
        memory_line(config, network, found and found.activations, NOT_MEASURED),
        disk_line(config, network, cache),
        time_line(config, found),
        f"run       {status_of(config).text()}",
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
