"""What `sample` and `evaluate` are given: a concept file, or the folder of a run."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from gcfg_core.concept_file import Concept, read_concept
from gcfg_core.concept_metadata import FORMAT_KEY
from gcfg_core.input_error import InputError
from gcfg_core.lora_concept import merge_lora
from gcfg_core.null_text import FEATURE
from gcfg_core.tensor_file import SAFETENSORS, tensor_names

from ..base.model import Base
from ..export.concept import concept_of, lora_concept_of
from ..export.facts import TrainingFacts
from ..run.checkpoint import latest_checkpoint
from .concept_model import load_concept

RECORD, CHECKPOINTS, CONSTANTS = "run.json", "checkpoints", "constants.safetensors"
WEIGHTS = "weights"


@dataclass(frozen=True)
class Source:
    """A concept file, or a run folder.

    Attributes:
        path: of the file or folder.
        config: the run's configuration; empty for a file.
    """

    path: Path
    config: Mapping[str, Any]

    @property
    def is_run(self) -> bool:
        return self.path.is_dir()

    @property
    def base(self) -> str | None:
        """Path of the base that the run was started from."""
        return self.config.get("base")


def open_source(path: str) -> Source:
    """Look at what was given.

    Raises:
        InputError: neither a file nor the folder of a run.
    """
    place = Path(path)
    if place.is_file():
        return Source(place, {})
    if not (place / RECORD).is_file():
        got = "a folder without run.json" if place.is_dir() else "nothing there"
        raise InputError(path, "a concept file or the folder of a run", got, "Check the name.")
    try:
        config = json.loads((place / RECORD).read_text(encoding="utf-8"))["config"]
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{path}/{RECORD}", "the record of a run", "another JSON", "Give the concept file.") from None
    return Source(place, config)


def load_source(source: Source, base: Base, average: str | None = None) -> tuple[Concept, str]:
    """The concept and what it was read from, for people.

    A run gives the file it exported last; with ``average``, or before it has exported, its latest checkpoint.

    Args:
        base: what it is mixed with; a LoRA is merged into it.
        average: of a run's checkpoint, such as "ema-0.05", or "weights" for the last weights themselves; the first
            average of the run's settings without it.

    Raises:
        InputError: there is neither an export nor a whole checkpoint, or no such average.
        ConceptFileError: a file cannot be read.
    """
    if not source.is_run:
        return load_concept(source.path, base), source.path.name
    exported = _exported(source.path)
    if exported is not None and average is None:
        return load_concept(exported, base), exported.name
    checkpoint = latest_checkpoint(source.path / CHECKPOINTS)
    if checkpoint is None:
        raise InputError(str(source.path), "a concept file or a whole checkpoint in it", "neither",
                         "Let the run reach its first checkpoint.")  # fmt: skip
    name = average or first_average(source.config)
    weights = checkpoint / f"{name}.safetensors"
    if not weights.is_file():
        there = sorted(file.stem for file in checkpoint.glob("*.safetensors") if file.stem != "optimizer")
        raise InputError("average", " or ".join(there), repr(name), "Name one of them.")
    return _from_checkpoint(source, base, load_file(weights)), f"{checkpoint.name}, {name}"


def first_average(config: Mapping[str, Any]) -> str:
    """The average that a run exports."""
    ema = config.get("ema", {})
    if ema.get("ema") == "power":
        return f"ema-{ema['sigma_rels'][0]:g}"
    return "ema" if ema.get("ema") == "constant" else WEIGHTS


def _exported(folder: Path) -> Path | None:
    """The newest format 1 file in a run's folder."""
    files = [file for file in folder.iterdir() if file.suffix in SAFETENSORS and FORMAT_KEY in tensor_names(file)[1]]
    return max(files, key=lambda file: file.stat().st_mtime_ns, default=None)


def _from_checkpoint(source: Source, base: Base, weights: Mapping[str, Tensor]) -> Concept:
    """A concept from a checkpoint's trained tensors and the run's constants."""
    model = source.config.get("model", {})
    kind = model.get("kind", "null-text")
    state = {**_constants(source.path, model), **{key.removeprefix("unet."): value for key, value in weights.items()}}
    facts = TrainingFacts()
    if kind == "null-text-lora":
        rank = int(model["lora_rank"])
        lora = lora_concept_of(base, state, facts, rank=rank, alpha=float(model.get("lora_alpha") or rank))
        return merge_lora(lora, base.unet.state_dict())
    return concept_of(base, state, facts, null_text=kind != "text")


def _constants(folder: Path, model: Mapping[str, Any]) -> dict[str, Tensor]:
    """The null-text constants that a run starts from; none for a run that reads text."""
    if (folder / CONSTANTS).is_file():
        return load_file(folder / CONSTANTS)
    start = model.get("start")
    if not start:
        return {}
    return {key: value for key, value in read_concept(start).tensors.items() if key.endswith(FEATURE)}
