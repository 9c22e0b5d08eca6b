"""A run from its settings to its result: everything is opened in the order in which it depends on each other."""

import os
from pathlib import Path

from accelerate import Accelerator
from torch import Tensor

from gcfg_core.input_error import InputError

from ..base.model import Base
from ..base.read import read_base
from ..base.world_config import is_recipe
from ..base.world_new import world_from_recipe
from ..data.scan import Scan
from ..prepare.calibrate import calibrate
from .build import null_text_network, read_start, text_network
from .config import RunConfig
from .image_feed import ImageFeed, open_images, scan_images
from .machine import global_batch, open_machine
from .network import Network
from .pictures import Painter, thumbnail_of
from .record import add_facts, open_record, result_settings
from .result import write_result
from .start import kept_constants
from .trainer import Trainer, agree, open_trainer

LEVELS = 10  # noise levels at which the constants are measured


def train(config: RunConfig) -> str:
    """Begin a run, or go on with the one in the output folder, up to its result.

    Returns:
        What came out, for people; nothing in other processes than the first.

    Raises:
        InputError: something given cannot be used.
        ConceptFileError, OSError, SafetensorError: something cannot be read or written.
    """
    accelerator = open_machine(config.loop)
    agree(accelerator, lambda: make_folder(Path(config.output)))
    trainer, painter = open_run(config, accelerator)
    trainer.resume()
    if not trainer.run():
        return f"stopped at step {trainer.step}; the same command goes on from there"
    weights, average = trainer.result_weights()
    if not accelerator.is_main_process:
        return ""
    path = write_result(trainer, weights, average, thumbnail_of(painter, weights))
    add_facts(trainer.folder, result={"file": path.name, "average": average, "steps": trainer.step})
    return f"{path}: {config.model.kind}, {trainer.step} steps on {trainer.feed.pictures} pictures"


def make_folder(folder: Path) -> None:
    """Make the run's folder.

    Raises:
        InputError: it cannot be made or written into.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError("output", "a folder that can be made", str(error), "Give another one.") from None
    if not os.access(folder, os.W_OK):
        raise InputError("output", "a folder to write into", f"{folder}, which is not", "Give another one.")


def open_run(config: RunConfig, accelerator: Accelerator) -> tuple[Trainer, Painter]:
    """Everything a run needs, on its device and before its first step."""
    folder, quiet = Path(config.output), not accelerator.is_main_process
    with accelerator.main_process_first():
        scan = scan_images(config.data, folder, quiet)
    base = open_base(config, scan)
    batch = global_batch(config.loop, accelerator)
    settings = result_settings(config, base.sha256, scan.digest, batch)
    facts = {"base": {"name": base.name, "sha256": base.sha256}, "images": len(scan.pictures),
             "processes": accelerator.num_processes, "device": str(accelerator.device)}  # fmt: skip
    agree(accelerator, lambda: open_record(folder, config, settings, facts))
    feed = open_images(config, scan, base.codec, accelerator, batch)
    frozen = frozen_constants(config, base, feed, accelerator)
    trainer = open_trainer(config, accelerator, base, feed, open_network(config, base, frozen), frozen)
    painter = Painter(config, lambda: open_base(config, scan), frozen, accelerator.device)
    if accelerator.is_main_process:
        trainer.paint = painter.as_tensor
    return trainer, painter


def open_base(config: RunConfig, scan: Scan) -> Base:
    """The base that the settings name; a new world, its words the captions', where they name a recipe."""
    model = config.model
    if not is_recipe(config.base):
        options = {"prediction_type": model.prediction_type, "zero_terminal_snr": model.zero_terminal_snr}
        return read_base(config.base, tokenizer=model.tokenizer, **options)  # type: ignore[arg-type]
    if not (model.kind == "text" and model.train_text):
        raise InputError(config.base, "a trained base", "a recipe for a new world",
                         "Train it first: --kind text --train-text.")  # fmt: skip
    return world_from_recipe(config.base, [picture.caption or "" for picture in scan.pictures])


def frozen_constants(config: RunConfig, base: Base, feed: ImageFeed, accelerator: Accelerator) -> dict[str, Tensor]:
    """Tensors that a null-text run starts from, by their names in the UNet: the constants, and what `start` holds."""
    if config.model.kind == "text":
        return {}
    if config.model.start is not None:
        return read_start(Path(config.model.start), config.model.kind == "null-text-lora")
    latents = feed.calibration(config.model.calibration_images)
    seed, device, folder = config.loop.seed, accelerator.device, Path(config.output)

    def keep() -> None:
        kept_constants(folder, lambda: calibrate(base, latents, levels=LEVELS, seed=seed, device=device).constants)

    agree(accelerator, keep)
    return kept_constants(folder, dict)


def open_network(config: RunConfig, base: Base, start: dict[str, Tensor]) -> Network:
    """The network that is trained; the base's UNet becomes a part of it."""
    if config.model.kind == "text":
        return text_network(base, config.data.captions != "none", config.model.train_text)
    return null_text_network(base, start, config.model, config.loop.seed)
