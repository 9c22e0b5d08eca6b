"""The source that `sample` and `evaluate` read: a concept file, or the folder of a run or a world."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from gcfg_core.concept.concept import Concept
from gcfg_core.concept.forms import form_in, form_of
from gcfg_core.errors import InputError
from gcfg_core.world.page import WORLD as PAGE

from ..base.model import Base
from ..export.concept import concept_of
from ..export.facts import TrainingFacts
from ..export.newest import newest_concept
from ..kinds.table import kind_of
from ..kinds.text import take_text
from ..settings.config import EmaConfig
from ..state.checkpoint import CHECKPOINTS, checkpoints, fault_of, latest_checkpoint, step_of
from ..state.constants import CONSTANTS
from ..state.ema import first_average
from ..state.names import WORLD
from ..state.record import RECORD, read_record
from ..state.run_paths import located_config
from .concept_model import load_concept
from .fit import base_of_record


@dataclass(frozen=True)
class Source:
    """A concept file, or the folder of a run or a world.

    Attributes:
        path: of the file or folder.
        config: the run's configuration; empty for a file.
        trained_from: name and hash of the run's base; empty for a file, whose metadata has them.
    """

    path: Path
    config: Mapping[str, Any]
    trained_from: str = ""

    @property
    def is_run(self) -> bool:
        return (self.path / RECORD).is_file()

    @property
    def world(self) -> str | None:
        """Path of the world that this is, or that the run produced."""
        return next((str(place) for place in (self.path, self.path / WORLD) if (place / PAGE).is_file()), None)

    @property
    def base(self) -> str | None:
        """Path of the model that trained weights belong in: the run's world, or else the run's base."""
        return self.world or self.config.get("base")

    @property
    def first_average(self) -> str:
        """The average that the run exports."""
        return first_average(EmaConfig.model_validate(self.config.get("ema", {})))

    @property
    def background(self) -> str | None:
        """The run's colour behind transparent parts; None for a file, and for runs of version 0.1.0."""
        return self.config.get("data", {}).get("background")

    @property
    def images(self) -> str | None:
        """Path of the run's training pictures."""
        return self.config.get("data", {}).get("images")


def open_source(path: str) -> Source:
    """Identify a source by its path.

    Raises:
        InputError: the path is neither a file nor the folder of a run or a world, or run.json is invalid.
    """
    place = Path(path)
    if place.is_file() or (place / PAGE).is_file():
        return Source(place, {})
    if not (place / RECORD).is_file():
        got = f"a folder without {RECORD}" if place.is_dir() else "nothing there"
        raise InputError(path, "a concept file or the folder of a run", got, "Check the name.")
    record = read_record(place)
    config = record["config"]
    if not all(isinstance(config.get(section, {}), dict) for section in ("data", "model", "ema")):
        raise InputError(str(place / RECORD), "the record of a run", "other JSON", "Give the concept file.")
    return Source(place, located_config(record), base_of_record(record))


def load_source(source: Source, base: Base, average: str | None = None) -> tuple[Concept, str]:
    """Read the concept, and describe where it was read from.

    For a run this is the result written last; with ``average``, or without a result, the latest checkpoint.

    Args:
        base: the base to mix it with; a LoRA, or a trained text encoder, is merged into it.
        average: average in a run's checkpoint, for example "ema-0.05", or "weights" for the last weights; default: the
            run's first average.

    Raises:
        InputError: the run has neither result nor complete checkpoint, or not this average; ``average`` is given for a
            file; or the concept is of another family than the base.
        ConceptFileError: a file cannot be read.
    """
    if average is not None and not source.is_run:
        remedy = "Leave --average out, or give the run's folder."
        raise InputError("average", "the folder of a run, which keeps several", str(source.path), remedy)
    if source.world is not None and average is None:
        return concept_of(base, base.unet.state_dict(), TrainingFacts(), null_text=False), Path(source.world).name
    if not source.is_run:
        return load_concept(source.path, base), source.path.name
    exported = newest_concept(source.path)
    if exported is not None and average is None:
        return load_concept(exported, base), exported.name
    checkpoint, name = kept_average(source, average)
    concept = _from_checkpoint(source, base, load_file(checkpoint / f"{name}.safetensors"))
    return dataclasses.replace(concept, base=source.trained_from), f"{checkpoint.name}, {name}"


def kept_average(source: Source, average: str | None, step: int | None = None) -> tuple[Path, str]:
    """Return a complete checkpoint of the run, by default the newest, and the name of an average in it.

    Args:
        average: default: the run's first average.
        step: the checkpoint's step.

    Raises:
        InputError: the complete checkpoint or the average does not exist.
    """
    folder = source.path / CHECKPOINTS
    checkpoint = latest_checkpoint(folder) if step is None else _checkpoint_at(folder, step)
    if checkpoint is None:
        raise InputError(str(source.path), "a concept file or a complete checkpoint in it", "neither",
                         "Let the run reach its first checkpoint.")  # fmt: skip
    name = average or source.first_average
    there = sorted(file.stem for file in checkpoint.glob("*.safetensors") if file.stem != "optimizer")
    if name not in there:
        raise InputError("average", " or ".join(there), repr(name), "Choose from these.")
    return checkpoint, name


def _checkpoint_at(folder: Path, step: int) -> Path:
    kept = {step_of(path): path for path in checkpoints(folder)}
    if step not in kept:
        there = " or ".join(map(str, kept)) or "a kept checkpoint"
        raise InputError("step", there, str(step), "Name a kept step; `train --keep-last` keeps more of them.")
    fault = fault_of(kept[step])
    if fault is not None:
        raise InputError(str(kept[step]), "a complete checkpoint", fault, "Name another step.")
    return kept[step]


def _from_checkpoint(source: Source, base: Base, weights: Mapping[str, Tensor]) -> Concept:
    """Build a concept from a checkpoint's trained tensors and the run's constants."""
    model = source.config.get("model", {})
    kind = kind_of(model.get("kind", "null-text"))
    state = {**run_constants(source), **{key.removeprefix("unet."): value for key, value in weights.items()}}
    kind.check(state, base, model, str(source.path))
    take_text(base, weights)
    concept = kind.concept(base, state, TrainingFacts(), model, "")
    return form_of(concept).on(concept, base.unet.state_dict())


def run_constants(source: Source) -> dict[str, Tensor]:
    """Return the null-text constants that a run starts from, by name in the UNet; {} for a run that reads text.

    Raises:
        ConceptFileError, SafetensorError: the file cannot be read.
    """
    if (source.path / CONSTANTS).is_file():
        return load_file(source.path / CONSTANTS)
    start = source.config.get("model", {}).get("start")
    if not start:
        return {}
    form = form_in(start)
    return form.constants(form.read(start))
