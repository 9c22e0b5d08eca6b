"""run.json: the settings and hashes of a run, to repeat it and to check that it is continued with the same."""

import json
import platform
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from gcfg_core.errors import InputError

from ..base.identity import BASE, base_settings
from ..base.model import Base
from ..console.program import PROGRAM
from ..data.picture import Picture
from ..durable import sha256_of, write_json
from ..optimizers import optimizer_of
from ..settings.config import RunConfig
from ..settings.read import section_of
from .checkpoint import CHECKPOINTS, checkpoints
from .constants import CONSTANTS
from .continuation import continuation
from .dataset_list import changes, newly_read, write_pictures
from .names import RECORD
from .run_paths import FOLDER

HASH = re.compile("[0-9a-f]{64}")
PACKAGES = ("torch", "diffusers", "accelerate", "peft", "safetensors", "pillow", "numpy")
# Settings that change results by rounding at most: paths, speed, what is read. A continued run may change them.
FREE = {
    "base", "output", "data.images", "data.cache", "data.workers", "data.max_pixels", "data.min_side", "model.start",
    "model.tokenizer", "model.vae", "model.variant", "loop.batch_size", "loop.accumulation",
    "loop.gradient_checkpointing", "loop.compile", "loop.channels_last", "loop.device",
}  # fmt: skip


def result_settings(config: RunConfig, base: Base, data: str, global_batch: int) -> dict[str, Any]:
    """Return every setting that results depend on, by dotted name; files are identified by their hash.

    Args:
        base: the run's base.
        data: hash of pictures and captions.
        global_batch: samples per step over all processes.

    Raises:
        InputError: the start file cannot be read.
    """
    settings: dict[str, Any] = {"images": data, "base": base.sha256, "global_batch": global_batch}
    settings["start"] = _start(config.model.start)
    return settings | given_settings(config) | base_settings(base, config.model.reads_text)


def given_settings(config: RunConfig) -> dict[str, Any]:
    """Return the part of `result_settings` that follows from the configuration alone."""
    settings: dict[str, Any] = {}
    for section, values in config.model_dump(mode="json").items():
        if isinstance(values, dict) and section != "record":
            settings |= {f"{section}.{key}": value for key, value in values.items() if f"{section}.{key}" not in FREE}
    if config.optimizer.lr_schedule == "constant":
        del settings["loop.steps"]  # a run with a constant rate may be extended
    if optimizer_of(config.optimizer.optimizer).state.in_blocks:
        settings["loop.channels_last"] = config.loop.channels_last
    return settings


def _start(path: str | None) -> str | None:
    try:
        return None if path is None else sha256_of(Path(path))
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"start {path}", "a null-text file", reason, f"Make it with `{PROGRAM} prepare`.") from None


def open_record(
    folder: Path,
    config: RunConfig,
    settings: Mapping[str, Any],
    facts: Mapping[str, Any],
    pictures: Sequence[Picture] = (),
) -> None:
    """Write run.json, or check that the existing run.json belongs to the same run.

    Before the first checkpoint an existing run.json is replaced, so that settings which fail or do not fit into memory
    can be corrected.

    Args:
        folder: of the run.
        config: all settings.
        settings: from `result_settings`.
        facts: further facts for people.
        pictures: the run's pictures, listed in pictures.json.

    Raises:
        InputError: the run there has other settings.
    """
    check_record(folder, settings, pictures)
    record = _kept_record(folder)
    if not _is_binding(folder, record) and record.get("settings") != _plain(settings):
        (folder / CONSTANTS).unlink(missing_ok=True)  # left by a run that did not reach its first checkpoint
        started = datetime.now(timezone.utc).isoformat(timespec="seconds")
        record = {"format": 1, "started": started, "settings": _plain(settings)}
        write_pictures(folder, pictures)
    record["settings"] = {**_plain(settings), **record["settings"]}  # settings that an older version did not record
    place = {FOLDER: str(Path.cwd()), "versions": versions()}
    record |= {"config": config.model_dump(mode="json"), **place, **facts}
    write_json(folder / RECORD, record)


def is_begun(folder: Path) -> bool:
    """True if the folder belongs to a run."""
    return (folder / RECORD).exists()


def _kept_record(folder: Path) -> dict[str, Any]:
    """Return the content of run.json, or {} before the run begins; InputError if checkpoints exist without it."""
    if is_begun(folder):
        return read_record(folder)
    if checkpoints(folder / CHECKPOINTS):
        raise InputError(str(folder / RECORD), "the record of the run whose checkpoints lie there", "no file",
                         "Put it back to continue the run, or give another output folder.")  # fmt: skip
    return {}


def _is_binding(folder: Path, record: Mapping[str, Any]) -> bool:
    """True if a checkpoint or a result exists, whose settings must not change any more."""
    return bool(checkpoints(folder / CHECKPOINTS)) or "result" in record


def check_record(
    folder: Path, settings: Mapping[str, Any], pictures: Sequence[Picture] = (), some: bool = False
) -> None:
    """Raise InputError if settings or pictures differ from those of a run whose steps are in the folder.

    A setting that was unknown when the run began counts as its default; facts about the base that were not recorded are
    not compared.

    Args:
        some: ``settings`` are only a part of `result_settings`, for a check before more work is done.
    """
    record = _kept_record(folder)
    if not _is_binding(folder, record):
        return
    now = _plain(settings)
    before = {**_defaults(now), **record["settings"]}
    for key in now if some else [*before, *now]:
        if before.get(key) == now.get(key):
            continue
        if key == "images":
            _refuse_pictures(folder, record, before.get(key), pictures)
        raise InputError(key, f"{_shown(before.get(key))} as in the run in {folder}", _shown(now.get(key)),
                         f"Give the same settings to continue it. {_alternative(key, folder, record)}")  # fmt: skip


def _refuse_pictures(folder: Path, record: Mapping[str, Any], before: Any, pictures: Sequence[Picture]) -> None:
    """Raise InputError that says which pictures changed; return if that is unknown."""
    changed, remedy = changes(folder, pictures), "Put them back to continue it."
    if newly := newly_read(pictures, before):
        changed, remedy = newly
    if changed is not None:
        raise InputError("images", f"the pictures that the run in {folder} began with", changed,
                         f"{remedy} {_alternative('images', folder, record)}")  # fmt: skip


def _alternative(key: str, folder: Path, record: Mapping[str, Any]) -> str:
    """Return a sentence with another way: continue from the run's result with other settings (not with another
    network)."""
    fixed = key == "base" or key.startswith((BASE, "model."))
    return ("" if fixed else continuation(folder, record)) or "Or give another output folder."


def _defaults(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the default of each setting; a setting without a default keeps its value."""
    defaults = dict(settings)
    for key in settings:
        section, _, name = key.partition(".")
        if name and not key.startswith(BASE):
            field = section_of(RunConfig.model_fields[section]).model_fields[name]  # type: ignore[union-attr]
            if not field.is_required():
                defaults[key] = _plain({key: field.get_default(call_default_factory=True)})[key]
    return defaults


def read_record(folder: Path) -> dict[str, Any]:
    """Read run.json.

    Raises:
        InputError: it is missing or damaged.
    """
    path = folder / RECORD
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise _no_record(path, error.strerror or str(error)) from None
    except ValueError:
        raise _no_record(path, "a damaged file (not JSON)") from None
    if not isinstance(record, dict) or not all(isinstance(record.get(key), dict) for key in ("settings", "config")):
        raise _no_record(path, "JSON without settings")
    return record


def _no_record(path: Path, got: str) -> InputError:
    return InputError(str(path), "the record of a run", got, "Give the folder of a run, or another output.")


def add_facts(folder: Path, **facts: Any) -> None:
    """Add facts to run.json, for example the result."""
    write_json(folder / RECORD, {**read_record(folder), **facts})


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Convert to JSON and back, so that values compare equal to stored values."""
    return json.loads(json.dumps(settings))


def _shown(value: Any) -> str:
    """Format a setting for people; a hash is shortened."""
    if value is None:
        return "none"
    text = value if isinstance(value, str) else json.dumps(value)
    return f"sha256 {text[:12]}" if HASH.fullmatch(text) else text


def versions() -> dict[str, str]:
    """Return the versions of Python, the system and the packages that results depend on."""
    found = {"python": platform.python_version(), "system": platform.platform()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "none"
    return found
