"""Checkpoints on disk: RUN/checkpoints/step-00001234/ with tensors (safetensors), state.json and manifest.json.

A checkpoint is written to a temporary folder, flushed and renamed; only then are old checkpoints removed. So a complete
checkpoint remains whenever the process dies. The manifest has the hash of every file, which reveals damage.

The review of a step is its validation and its sample grid, if they are due. It comes after the checkpoint of the step.
"""

import contextlib
import json
import os
import shutil
import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from gcfg_core.durable import flush_file, flush_folder
from gcfg_core.errors import InputError

from ..durable import sha256_of

CHECKPOINTS = "checkpoints"  # folder name in the run's folder
STEP, MANIFEST, STATE = "step-", "manifest.json", "state.json"
REVIEWED = "seen"  # marker file: the review of this step is done
REVIEW_PENDING = "unseen"  # key in state.json: a review was due at this step
SAVING, TORN, OLD = ".partial-", "torn-", ".old-"


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The saved state of a run at one step.

    Attributes:
        step: optimization steps done.
        tensors: {"weights": {name: tensor}, "optimizer": ..., and each average by its name}, all on the CPU.
        state: other JSON values.
    """

    step: int
    tensors: Mapping[str, Mapping[str, Tensor]]
    state: Mapping[str, Any]


def write_checkpoint(folder: Path, checkpoint: Checkpoint, keep_last: int, keep_steps: Collection[int] = ()) -> Path:
    """Write a checkpoint, then remove old checkpoints except the newest ``keep_last`` and those at ``keep_steps``.

    Returns:
        The checkpoint's folder.

    Raises:
        InputError: the disk is full or the folder is not writable; earlier checkpoints are unchanged.
    """
    target = folder / f"{STEP}{checkpoint.step:08d}"
    partial = folder / f"{SAVING}{uuid.uuid4().hex}"
    try:
        partial.mkdir(parents=True)
        _write_files(partial, checkpoint)
        _move_in(partial, target)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(partial, ignore_errors=True)
        whole = latest_checkpoint(folder)
        kept = f"{whole.name} is complete" if whole else "there is no earlier checkpoint"
        raise InputError(str(target), "a checkpoint written completely", f"{error}",
                         f"Free some space and give the same command again: {kept}.") from error  # fmt: skip
    prune(folder, keep_last, keep_steps)
    return target


def _write_files(folder: Path, checkpoint: Checkpoint) -> None:
    for name, tensors in checkpoint.tensors.items():
        save_file(dict(tensors), folder / f"{name}.safetensors")
    state = {"step": checkpoint.step, **checkpoint.state}
    (folder / STATE).write_text(json.dumps(state, indent=2), encoding="utf-8")
    files = {path.name: {"sha256": sha256_of(path), "bytes": path.stat().st_size} for path in sorted(folder.iterdir())}
    (folder / MANIFEST).write_text(json.dumps({"format": 1, "files": files}, indent=2), encoding="utf-8")
    for path in folder.iterdir():
        flush_file(path)
    flush_folder(folder)


def _move_in(partial: Path, target: Path) -> None:
    """Rename a folder to its final name, after setting an existing checkpoint of this step aside."""
    if target.exists():
        os.replace(target, _aside(target))
    os.replace(partial, target)
    flush_folder(target.parent)


def _aside(path: Path) -> Path:
    """Return the name for a checkpoint that will be deleted; `recover` recognizes it."""
    return path.with_name(f"{OLD}{path.name}-{uuid.uuid4().hex}")


def mark_reviewed(folder: Path, step: int) -> None:
    """Save a marker in the checkpoint of a step, if there is one: validation and samples are done."""
    with contextlib.suppress(FileNotFoundError):
        (folder / f"{STEP}{step:08d}" / REVIEWED).touch()


def is_review_pending(path: Path) -> bool:
    """True if a complete checkpoint's step was due for review and `mark_reviewed` was not called for it."""
    state = json.loads((path / STATE).read_text(encoding="utf-8"))
    return bool(state.get(REVIEW_PENDING)) and not (path / REVIEWED).exists()


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint that is known to be complete."""
    state = json.loads((path / STATE).read_text(encoding="utf-8"))
    tensors = {file.stem: load_file(file) for file in sorted(path.glob("*.safetensors"))}
    return Checkpoint(state.pop("step"), tensors, state)


def fault_of(path: Path) -> str | None:
    """Return what is wrong with a checkpoint's files, or None if they are complete."""
    try:
        files = json.loads((path / MANIFEST).read_text(encoding="utf-8"))["files"]
        for name, noted in files.items():
            file = path / name
            if file.stat().st_size != noted["bytes"] or sha256_of(file) != noted["sha256"]:
                return f"{name} differs from the manifest"
    except OSError as error:
        return f"{Path(error.filename or path).name}: {error.strerror or error}"
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"{MANIFEST} is damaged"
    return None


def step_of(path: Path) -> int:
    """Return the step in a checkpoint folder's name."""
    return int(path.name.removeprefix(STEP))


def checkpoints(folder: Path) -> list[Path]:
    """List the checkpoint folders, complete or not, oldest first."""
    found = folder.glob(f"{STEP}*")
    return sorted(path for path in found if path.is_dir() and path.name.removeprefix(STEP).isdecimal())


def latest_checkpoint(folder: Path) -> Path | None:
    """Return the newest complete checkpoint."""
    return next((path for path in reversed(checkpoints(folder)) if fault_of(path) is None), None)


def recover(folder: Path) -> tuple[Path | None, list[str]]:
    """Prepare the checkpoint folder for resuming.

    Remove leftovers of an interrupted save, restore checkpoints that it had set aside, and rename damaged checkpoints;
    these are deleted once the run has passed their steps.

    Returns:
        The newest complete checkpoint, and a sentence for each newer damaged checkpoint.
    """
    for leftover in folder.glob(f"{SAVING}*"):
        shutil.rmtree(leftover, ignore_errors=True)
    for old in folder.glob(f"{OLD}*"):
        own = folder / old.name.removeprefix(OLD).rpartition("-")[0]
        if own.name.startswith(STEP) and not own.exists() and fault_of(old) is None:
            os.replace(old, own)
        shutil.rmtree(old, ignore_errors=True)
    sentences = []
    for path in reversed(checkpoints(folder)):
        fault = fault_of(path)
        if fault is None:
            _remove_torn(folder, step_of(path))
            return path, sentences
        aside = path.with_name(f"{TORN}{path.name}-{uuid.uuid4().hex[:8]}")
        os.replace(path, aside)
        sentences.append(f"{path.name} is torn ({fault}); it is set aside as {aside.name}")
    return None, sentences


def _remove_torn(folder: Path, step: int) -> None:
    """Delete damaged checkpoints of steps up to this step."""
    for torn in folder.glob(f"{TORN}{STEP}*"):
        own = torn.name.removeprefix(TORN + STEP).partition("-")[0]
        if own.isdecimal() and int(own) <= step:
            shutil.rmtree(torn, ignore_errors=True)


def prune(folder: Path, keep_last: int, keep_steps: Collection[int] = ()) -> None:
    """Delete all but the newest ``keep_last`` checkpoints and those at ``keep_steps``. Each is renamed first, so that
    no half-deleted checkpoint is ever visible."""
    for path in checkpoints(folder)[:-keep_last]:
        if step_of(path) in keep_steps:
            continue
        doomed = _aside(path)
        os.replace(path, doomed)
        shutil.rmtree(doomed, ignore_errors=True)
    for leftover in folder.glob(f"{OLD}*"):
        shutil.rmtree(leftover, ignore_errors=True)
