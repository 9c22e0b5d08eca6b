"""Write a run's result: the average of its weights as a concept file, or as a world."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from gcfg_core.concept.forms import AnyConcept

from ..base.model import Base
from ..base.world_text import WordText
from ..base.world_write import write_world
from ..device import DTYPES
from ..export.concept import export_run
from ..export.facts import TrainingFacts
from ..kinds.table import kind_of
from ..loop.trainer import Trainer
from ..settings.config import RunConfig
from ..state.names import WORLD


def concept_from(
    config: RunConfig, base: Base, weights: Mapping[str, Tensor], frozen: Mapping[str, Tensor], facts: TrainingFacts
) -> AnyConcept:
    """Return a concept of a network's trained weights.

    Args:
        base: the run's base.
        weights: by name in the network.
        frozen: null-text constants that were not trained, by name in the UNet.
        facts: facts about the run.
    """
    trained = {key.removeprefix("unet."): value for key, value in weights.items() if key.startswith("unet.")}
    kind, model = kind_of(config.model.kind), config.model.model_dump()
    return kind.concept(base, {**frozen, **trained}, facts, model, title_of(config))


def facts_of(trainer: Trainer, average: str) -> TrainingFacts:
    """Return the facts about a run for its concept file and model card."""
    feed = trainer.feed
    return run_facts(trainer.config, trainer.step, average, feed.pictures, feed.digest, trainer.images)


def run_facts(config: RunConfig, step: int, average: str, pictures: int, digest: str, batch: int) -> TrainingFacts:
    """Return the facts about a run for a concept file and its model card.

    Args:
        step: optimization steps done.
        average: name of the average, "" for the last weights.
        pictures: number of training pictures.
        digest: hash of pictures and captions.
        batch: samples per step over all processes.
    """
    return TrainingFacts(
        steps=step,
        images=pictures,
        resolution=max(config.data.resolutions),
        ema=average or None,
        seed=config.loop.seed,
        dataset_sha256=digest,
        settings=_settings(config, batch),
    )


def _settings(config: RunConfig, batch: int) -> dict[str, Any]:
    loop, optimizer = config.loop, config.optimizer
    return {
        "kind": config.model.kind,
        "train_constant": config.model.train_constant,
        "batch": batch,
        "optimizer": optimizer.optimizer,
        "lr": optimizer.lr,
        "lr_schedule": optimizer.lr_schedule,
        "warmup_steps": optimizer.warmup_steps,
        "precision": loop.precision,
        "min_snr_gamma": config.loss.min_snr_gamma,
        "noise_offset": config.loss.noise_offset,
        "captions": config.data.captions,
        "flip": config.data.flip,
        "background": config.data.background,
        "alpha_mask": config.data.alpha_mask,
    }


def title_of(config: RunConfig) -> str:
    """Return the given title, or the name of the run's folder."""
    return config.record.title or Path(config.output).resolve().name


def file_settings(config: RunConfig) -> dict[str, Any]:
    """Return the settings that change the written file but not its weights."""
    kept = config.record.model_dump(include={"description", "author", "license", "export_dtype"})
    return {**kept, "title": title_of(config)}


def is_world(config: RunConfig, base: Base) -> bool:
    """True if the run's result is a world, not a concept file."""
    return config.model.train_text or isinstance(base.text, WordText) and config.model.reads_text


def write_result(trainer: Trainer, weights: Mapping[str, Tensor], average: str, thumbnail: Image.Image | None) -> Path:
    """Write the concept file and its model card, or a world's folder, into the run's folder.

    Raises:
        InputError, ConceptFileError: weights are not finite, or missing.
        OSError: writing failed.
    """
    config, facts = trainer.config, facts_of(trainer, average)
    if is_world(config, trainer.base):
        folder = trainer.folder / WORLD
        dtype = DTYPES[config.record.export_dtype]
        write_world(folder, trainer.base, weights, title=title_of(config), training=facts.as_json(), dtype=dtype)
        return folder
    record = config.record
    path, _ = export_run(
        trainer.folder,
        concept_from(config, trainer.base, weights, trainer.frozen, facts),
        facts,
        dtype=record.export_dtype,
        thumbnail=thumbnail,
        description=record.description,
        author=record.author,
        license_line=record.license,
    )
    return path
