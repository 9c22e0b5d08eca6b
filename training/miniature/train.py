"""Train the starter models one after another, and collect their files."""

import os
import shutil
import uuid
from pathlib import Path

from gcfg_core.concept.concept_file import read_concept
from gcfg_core.errors import InputError
from gcfg_core.world.page import UNET

from ..durable import PARTIAL, write_bytes
from ..export.newest import newest_concept
from ..launch.session import train
from ..state.names import WORLD
from .recipe import RunLengths, first_pictures, recipes
from .settings import BASE, TOON


def train_all(data: Path, runs: Path, weights: Path, lengths: RunLengths) -> None:
    """Train every model that is missing in ``weights``; an interrupted run continues.

    Args:
        data: folder written by `data.make`.
        runs: folder of the runs.
        weights: receives world/ and concepts/NAME.safetensors.

    Raises:
        InputError, ConceptFileError, OSError: raised by `training.launch.session.train`; or a run has more steps.
    """
    (weights / "concepts").mkdir(parents=True, exist_ok=True)
    for count in lengths.few:
        _copy_first(data / TOON / "train", first_pictures(data, count) / "train", count)
    for name, config in recipes(data, runs, weights / "world", lengths):
        target = weights / "world" if name == BASE else weights / "concepts" / f"{name}.safetensors"
        if target.exists():
            continue
        print(f"== {name}", flush=True)
        print(train(config), flush=True)
        _collect(Path(config.output), target, config.loop.steps)


def _copy_first(source: Path, target: Path, count: int) -> None:
    """Copy the first pictures of a folder, by name."""
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(source.glob("*.png"))[:count]:
        shutil.copyfile(path, target / path.name)


def _collect(run: Path, target: Path, steps: int) -> None:
    """Copy a run's result completely or not at all: a world's folder, a fine-tuned world's UNet, or a concept's file.

    Raises:
        InputError: the run has no result, or a result after another number of steps.
    """
    result = run / WORLD / UNET if (run / WORLD).is_dir() else newest_concept(run)
    if result is None:
        raise InputError(str(run), "the result of a run", "none", "Train it again.")
    found = read_concept(result).training.get("steps")
    if found != steps:
        raise InputError(str(run), f"a run of {steps} steps, as {target.stem} is", f"a run of {found}",
                         "Remove its folder to train it again.")  # fmt: skip
    if target.name != WORLD:
        write_bytes(target, result.read_bytes())
        return
    partial = target.with_name(f"{target.name}.{uuid.uuid4().hex}{PARTIAL}")
    try:
        shutil.copytree(run / WORLD, partial)
        os.replace(partial, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
