"""What `sample` and `evaluate` are given: a concept file, or the folder of a run or of a world."""

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
    """A concept file, or the folder of a run or of a world.

    Attributes:
        path: of the file or folder.
        config: the run's configuration; empty for a file.
        trained_from: name and hash of the run's base; empty for a file, which says it itself.
    """

    path: Path
    config: Mapping[str, Any]
    trained_from: str = ""

    @property
    def is_run(self) -> bool:
        return (self.path / RECORD).is_file()

    @property
    def world(self) -> str | None:
        """Path of the world that this is, or that the run gave."""
        return next((str(place) for place in (self.path, self.path / WORLD) if (place / PAGE).is_file()), None)

    @property
    def base(self) -> str | None:
        """Path of what a trained network is put into: the world that came out, or else the base that the run was
        started from."""
        return self.world or self.config.get("base")

    @property
    def first_average(self) -> str:
        """The average that the run exports."""
        return first_average(EmaConfig.model_validate(self.config.get("ema", {})))

    @property
    def background(self) -> str | None:
        """The colour that the run puts behind transparent parts; None for a file, and for runs of version 0.1.0."""
        return self.config.get("data", {}).get("background")

    @property
    def images(self) -> str | None:
        """Path of the pictures that the run is trained on."""
        return self.config.get("data", {}).get("images")


def open_source(path: str) -> Source:
    """Look at what was given.

    Raises:
        InputError: neither a file nor the folder of a run or a world, or a run.json that is none.
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
    """The concept and what it was read from, for people.

    A run gives the result it wrote last; with ``average``, or before it has one, its latest checkpoint.

    Args:
        base: what it is mixed with; a LoRA is merged into it, and a text encoder that was trained is put into it.
        average: of a run's checkpoint, such as "ema-0.05", or "weights" for the last weights themselves; the first
            average of the run's settings without it.

    Raises:
        InputError: there is neither a result nor a whole checkpoint, or no such average, or an average of what is no
            run; or it is of another family than the base.
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
    """A whole checkpoint of the run, the newest without a step, and the name of an average in it.

    Args:
        average: the first of the run's settings without it.
        step: of the checkpoint.

    Raises:
        InputError: no such whole checkpoint, or no such average.
    """
    folder = source.path / CHECKPOINTS
    checkpoint = latest_checkpoint(folder) if step is None else _checkpoint_at(folder, step)
    if checkpoint is None:
        raise InputError(str(source.path), "a concept file or a whole checkpoint in it", "neither",
                         "Let the run reach its first checkpoint.")  # fmt: skip
    name = average or source.first_average
    there = sorted(file.stem for file in checkpoint.glob("*.safetensors") if file.stem != "optimizer")
    if name not in there:
        raise InputError("average", " or ".join(there), repr(name), "Name one of them.")
    return checkpoint, name


def _checkpoint_at(folder: Path, step: int) -> Path:
    kept = {step_of(path): path for path in checkpoints(folder)}
    if step not in kept:
        there = " or ".join(map(str, kept)) or "a checkpoint, of which there is none"
        raise InputError("step", there, str(step), "Name one that is kept; `train --keep-last` keeps more of them.")
    fault = fault_of(kept[step])
    if fault is not None:
        raise InputError(str(kept[step]), "a whole checkpoint", fault, "Name another step.")
    return kept[step]


def _from_checkpoint(source: Source, base: Base, weights: Mapping[str, Tensor]) -> Concept:
    """A concept from a checkpoint's trained tensors and the run's constants."""
    model = source.config.get("model", {})
    kind = kind_of(model.get("kind", "null-text"))
    state = {**run_constants(source), **{key.removeprefix("unet."): value for key, value in weights.items()}}
    kind.check(state, base, model, str(source.path))
    take_text(base, weights)
    concept = kind.concept(base, state, TrainingFacts(), model, "")
    return form_of(concept).on(concept, base.unet.state_dict())


def run_constants(source: Source) -> dict[str, Tensor]:
    """The null-text constants that a run starts from, by their names in the UNet; none for a run that reads text.

    Raises:
        ConceptFileError, SafetensorError: they cannot be read.
    """
    if (source.path / CONSTANTS).is_file():
        return load_file(source.path / CONSTANTS)
    start = source.config.get("model", {}).get("start")
    if not start:
        return {}
    form = form_in(start)
    return form.constants(form.read(start))
