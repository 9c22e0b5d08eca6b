"""A run from its settings to its result; opens each part after the parts that it depends on."""

from collections.abc import Mapping
from pathlib import Path

from accelerate import Accelerator
from torch import Tensor

from gcfg_core.errors import InputError

from ..base.model import Base
from ..base.read import OPTIONS, read_base
from ..base.world_config import is_recipe, read_world_config
from ..base.world_new import recipe_codec, world_from_recipe
from ..console.endings import Interrupted
from ..console.output import make_folder
from ..console.program import PROGRAM
from ..console.progress_bar import bar
from ..data.scan import Scan
from ..device import full_float32
from ..kinds.table import kind_of
from ..loop.image_feed import ImageFeed, cache_folder, open_images, scan_images
from ..loop.trainer import Trainer, open_trainer
from ..prepare.calibrate import calibrate
from ..processes.agreement import agree
from ..processes.machine import global_batch, machine
from ..processes.shared_disk import check_shared
from ..settings.config import RunConfig
from ..state.best import best_kept
from ..state.constants import kept_constants
from ..state.ema import first_average
from ..state.lock import RunLock, remove_leftovers
from ..state.record import add_facts, open_record, result_settings
from .outline import memory_line, training_lines
from .pictures import Painter, thumbnail_of
from .rehearsal import check_paths, rehearse
from .result import file_settings, write_result
from .status import status_of

LEVELS = 10  # noise levels for measuring the constants


def train(config: RunConfig) -> str:
    """Begin a run, or continue the run in the output folder, up to its result.

    Returns:
        A line about the result; empty in all processes but the first.

    Raises:
        InputError: an input cannot be used.
        Interrupted: a signal asked to stop; the state is saved.
        ConceptFileError, OSError, SafetensorError: a file cannot be read or written.
    """
    with machine(config.loop) as accelerator, RunLock() as lock:
        agree(accelerator, lambda: check_paths(config))
        return _train(config, accelerator, lock)


def _train(config: RunConfig, accelerator: Accelerator, lock: RunLock) -> str:
    trainer, painter = open_run(config, accelerator, lock)
    trainer.resume()
    main = accelerator.is_main_process
    status = agree(accelerator, lambda: status_of(config, trainer.step, trainer.review_pending))
    if status.is_finished:
        return f"the run {status.text()}" if main else ""
    if main:
        print(f"run       {status.text()}", flush=True)
    finished = trainer.run()
    best = best_kept(trainer.folder, first_average(config.ema)) if main else None
    if best is not None:
        add_facts(trainer.folder, best=best.as_json())
    if not finished:
        where = f"stopped at step {trainer.step}; the same command continues from there"
        raise Interrupted(trainer.stopped_by, where if main else "")
    weights, average = trainer.result_weights()
    if not main:
        return ""
    path = write_result(trainer, weights, average, thumbnail_of(painter, weights))
    result = {"file": path.name, "average": average, "steps": trainer.step, "settings": file_settings(config)}
    add_facts(trainer.folder, result=result)
    line = f"{path}: {config.model.kind}, {trainer.step} steps on {trainer.feed.pictures} pictures"
    if best is None or best.step == trainer.step:
        return line
    return f"{line}\n{best.text()}: `{PROGRAM} export {trainer.folder} OUT.safetensors --best` writes it"


def open_run(config: RunConfig, accelerator: Accelerator, lock: RunLock | None = None) -> tuple[Trainer, Painter]:
    """Open everything a run needs, before its first step; the first process prints the summary.

    An unusable base or setting leaves no folder behind. A new world takes its vocabulary from the captions; its
    settings are tried after the pictures are scanned.

    Args:
        lock: taken as soon as the folder exists; None: the caller ensures that no other run uses the folder.
    """
    folder, main = Path(config.output), accelerator.is_main_process
    base = trained_base(config)
    if base is not None:
        rehearse(config, base)
    agree(accelerator, lambda: make_folder(folder))
    if lock is not None:
        agree(accelerator, lambda: _take(lock, folder))
    check_shared(accelerator, [folder, cache_folder(config)])
    scan = agree(accelerator, lambda: scan_images(config.data, folder))
    batch = global_batch(config.loop, accelerator)
    if main:
        print(scan.summary(), flush=True)
    if base is None:
        base = open_base(config, scan)
        rehearse(config, base)
    settings = result_settings(config, base, scan.digest, batch)
    facts = {"base": {"name": base.name, "sha256": base.sha256}, "images": len(scan.pictures),
             "processes": accelerator.num_processes, "device": str(accelerator.device)}  # fmt: skip
    agree(accelerator, lambda: open_record(folder, config, settings, facts, scan.pictures))
    feed = open_images(config, scan, base.codec, accelerator, batch)
    frozen = frozen_constants(config, base, feed, accelerator)
    network = kind_of(config.model.kind).network(base, frozen, config)
    if main:
        print(training_lines(config, base, network, feed.order, scan.pictures, accelerator))
        print(memory_line(config, network), flush=True)
    trainer = open_trainer(config, accelerator, base, feed, network, frozen)
    painter = Painter(config, lambda: open_base(config, scan), frozen, accelerator.device)
    if main:
        trainer.paint = painter.as_tensor
    return trainer, painter


def _take(lock: RunLock, folder: Path) -> None:
    """Lock the folder and remove leftovers; on a disk without locks remove nothing, since another run may be
    writing."""
    lock.take(folder)
    if lock.is_held:
        remove_leftovers(folder)


def trained_base(config: RunConfig) -> Base | None:
    """Read the configured base; None for the recipe of a new world, whose vocabulary comes from the captions.

    Raises:
        InputError: the base or recipe cannot be used.
    """
    model = config.model
    if not is_recipe(config.base):
        return read_base(config.base, **{key: getattr(model, key) for key in OPTIONS})
    if not (model.reads_text and model.train_text):
        raise InputError(config.base, "a trained base", "a recipe for a new world",
                         "Train it first: --kind text --train-text.")  # fmt: skip
    recipe_codec(read_world_config(config.base), model.vae, config.base)
    return None


def open_base(config: RunConfig, scan: Scan) -> Base:
    """Read the configured base, or build a new world from a recipe and the captions."""
    captions = (picture.caption or "" for picture in scan.pictures)
    return trained_base(config) or world_from_recipe(config.base, list(captions), config.model.vae)


def frozen_constants(config: RunConfig, base: Base, feed: ImageFeed, accelerator: Accelerator) -> dict[str, Tensor]:
    """Return the tensors that a null-text run starts from, by name in the UNet: constants, and the start file's
    tensors."""
    kind = kind_of(config.model.kind)
    if config.model.start is not None:
        return kind.read_start(config.model.start, base, config.model)
    if not kind.has_constants:
        return {}
    seed, device, folder = config.loop.seed, accelerator.device, Path(config.output)
    count = min(config.model.calibration_images, feed.pictures)

    def measured() -> Mapping[str, Tensor]:
        latents = feed.calibration(count)
        with bar("measuring null-text constants", "picture", count, iterable=latents) as shown:
            return calibrate(base, shown, levels=LEVELS, seed=seed, device=device).constants

    with full_float32():
        return agree(accelerator, lambda: kept_constants(folder, measured))
