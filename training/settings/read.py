"""Read settings from presets and TOML files and validate them; errors are one line."""

import importlib
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from gcfg_core.errors import InputError

from ..console.arguments import nearest
from ..console.setting_error import setting_error
from .config import RunConfig
from .presets import PRESETS


def preset(name: str) -> dict[str, Any]:
    """Return the settings of a preset.

    Raises:
        InputError: no preset has this name.
    """
    if name not in PRESETS:
        raise InputError("preset", ", ".join(PRESETS), repr(name), nearest(name, PRESETS))
    return PRESETS[name]


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML configuration file: tables are sections, keys as in `RunConfig`.

    Raises:
        InputError: the file cannot be read, or has an unknown key.
    """
    toml = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    try:
        given = toml.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, toml.TOMLDecodeError) as error:
        raise InputError(str(path), "a TOML file", " ".join(str(error).split()), "Correct it.") from None
    check_keys(given, RunConfig, path.name)
    return given


def check_keys(given: Mapping[str, Any], model: type[BaseModel], where: str) -> None:
    """Raise InputError at the first key that a section does not have, and suggest the closest known key."""
    for key, value in given.items():
        field = model.model_fields.get(key)
        if field is None:
            elsewhere = [f"[{section}] {name}" for section, name, _ in leaves() if name == key and section]
            hint = f"It belongs to {elsewhere[0]}." if elsewhere else nearest(key, model.model_fields)
            raise InputError(where, "a known setting", repr(key), hint)
        section = section_of(field)
        if section is not None:
            if not isinstance(value, Mapping):
                raise InputError(f"{where}: {key}", "a table of settings", repr(value), f"Write it as [{key}].")
            check_keys(value, section, f"{where}: [{key}]")


def section_of(field: FieldInfo) -> type[BaseModel] | None:
    """Return the section class of a field of `RunConfig`, or None for a plain setting."""
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def leaves() -> Iterator[tuple[str, str, FieldInfo]]:
    """Yield (section, name, field) for every setting; section is "" outside sections."""
    for name, field in RunConfig.model_fields.items():
        section = section_of(field)
        if section is None:
            yield "", name, field
        else:
            yield from ((name, key, inner) for key, inner in section.model_fields.items())


def merged(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> dict[str, Any]:
    """Merge two nested settings, section by section; ``upper`` overrides ``lower``."""
    both = dict(lower)
    for key, value in upper.items():
        below = both.get(key)
        both[key] = merged(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return both


def run_config(given: Mapping[str, Any]) -> RunConfig:
    """Validate nested settings into a `RunConfig`.

    Raises:
        InputError: the first missing or wrong setting.
    """
    try:
        return RunConfig.model_validate(given)
    except ValidationError as error:
        problem = setting_error(error, RunConfig)
        if problem.expected == "a value":
            flag = "images" if problem.name == "data" else problem.name.split(".")[-1]
            remedy = f"Give --{flag}, or set it in the configuration file."
            raise InputError(problem.name, "a value", "none", remedy) from None
        raise problem from None
