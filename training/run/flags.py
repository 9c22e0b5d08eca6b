"""The command line of a run: preset, then configuration file, then flags, each on top of the one before."""

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro
from pydantic import TypeAdapter, ValidationError

from gcfg_core.input_error import InputError

from .config import RunConfig
from .presets import PRESETS
from .settings import leaves, merged, nearest, preset, read_toml, run_config

PROG = "python -m training train"
ABOUT = "Train a concept model from a base model and a folder of images. The same command again continues a run."


@dataclasses.dataclass(frozen=True)
class Command:
    """What a command line asks for.

    Attributes:
        config: all settings.
        dry_run: show the plan, do nothing.
    """

    config: RunConfig
    dry_run: bool


def parse(arguments: Sequence[str]) -> Command:
    """Settings and orders of a command line.

    Raises:
        InputError: an unknown preset, file, setting or flag, or a value that is out of range.
        SystemExit: --help, or a value that is no number.
    """
    early = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    early.add_argument("--preset", default=None)
    early.add_argument("--config", default=None)
    first, _ = early.parse_known_args(arguments)
    below: dict[str, Any] = preset(first.preset) if first.preset is not None else {}
    if first.config is not None:
        below = merged(below, read_toml(Path(first.config)))
    flags = _parse_flags(arguments, below)
    dry_run = flags.pop("dry_run")
    return Command(run_config(merged(below, _nested(flags))), dry_run)


def _parse_flags(arguments: Sequence[str], below: dict[str, Any]) -> dict[str, Any]:
    """Every setting by its bare name; what no flag says keeps the value that it has below."""
    parsed, unknown = tyro.cli(
        _flag_class(below), prog=PROG, description=ABOUT, args=list(arguments), return_unknown_args=True
    )
    if unknown:
        known = [f"--{name.replace('_', '-')}" for _, name, _ in leaves()]
        raise InputError("command line", "a known flag", unknown[0], nearest(unknown[0], known))
    values = {field.name: getattr(parsed, field.name) for field in dataclasses.fields(parsed)}
    return {name: value for name, value in values.items() if name not in ("preset", "config")}


def _flag_class(below: dict[str, Any]) -> Any:
    """A flat dataclass with a field for each setting, for tyro; defaults are the values from below."""
    fields: list[tuple[str, Any, Any]] = []
    for section, name, field in leaves():
        help_ = field.description or name.replace("_", " ")
        given = (below.get(section, {}) if section else below).get(name, field.get_default(call_default_factory=True))
        kind: Any = field.annotation
        if field.is_required() and given is field.get_default():
            kind, given, help_ = kind | None, None, f"{help_} (required)"
        else:
            given = _typed(section, name, kind, given)
        fields.append((name, Annotated[kind, tyro.conf.arg(help=help_)], given))
    names = f"settings to start from: {', '.join(PRESETS)}"
    fields += [
        ("preset", Annotated[str | None, tyro.conf.arg(help=names)], None),
        ("config", Annotated[str | None, tyro.conf.arg(help="TOML file with settings")], None),
        ("dry_run", Annotated[bool, tyro.conf.arg(help="show plan, memory and time; write nothing")], False),
    ]
    made = [(name, kind, dataclasses.field(default_factory=lambda value=value: value)) for name, kind, value in fields]
    return dataclasses.make_dataclass("Settings", made)


def _typed(section: str, name: str, kind: Any, value: Any) -> Any:
    """A value from a preset or file as its setting's type, so that tyro can show and keep it."""
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        path = f"{section}.{name}" if section else name
        raise InputError(path, error.errors()[0]["msg"], repr(value), "Correct it.") from None


def _nested(flags: dict[str, Any]) -> dict[str, Any]:
    """Flat settings in their sections, without those that nothing sets."""
    nested: dict[str, Any] = {}
    for section, name, field in leaves():
        if field.is_required() and flags[name] is None:
            continue
        (nested.setdefault(section, {}) if section else nested)[name] = flags[name]
    return nested
