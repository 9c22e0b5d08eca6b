"""Flags of settings: what a pydantic model's fields say becomes a command line, and its words become the model."""

import argparse
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from gcfg_core.errors import InputError

from .arguments import Arguments
from .setting_error import setting_error

NAMES = {int: "INT", float: "FLOAT", str: "TEXT", Path: "PATH"}  # of values, in the help
PLACE = "place of "  # begins the name of what stands in a place where there is a flag too
Model = TypeVar("Model", bound=BaseModel)


def parse_settings(
    model: type[Model],
    prog: str,
    about: str,
    words: Sequence[str],
    positional: Sequence[str] = (),
    beside: bool = False,
) -> Model:
    """The settings that a command line gives.

    Args:
        model: has a flag for every field, except for those in ``positional``.
        prog, about: of the help.
        words: of the command line.
        beside: those in ``positional`` have their flags too; what both say has to be said once.

    Raises:
        InputError: the first thing that is wrong, unknown or missing.
        SystemExit: --help.
    """
    parser = Arguments(prog, about)
    for name, field in model.model_fields.items():
        if name not in positional or beside:
            add_flag(parser, name, field)
    for name in positional:
        add_flag(parser, name, model.model_fields[name], positional=True, dest=f"{PLACE}{name}" if beside else name)
    given = _once(vars(parser.read(words)))
    try:
        return model.model_validate({name: typed(value, model.model_fields[name]) for name, value in given.items()})
    except ValidationError as error:
        for name, field in model.model_fields.items():
            if field.is_required() and name not in given:
                flag = name.upper() if name in positional and not beside else f"--{name.replace('_', '-')}"
                about = f"Give it: {field.description}; `{prog} --help` tells more."
                raise InputError(flag, "a value", "none", about) from None
        raise setting_error(error, model) from None


def _once(given: dict[str, Any]) -> dict[str, Any]:
    """Places and flags under the names of their fields."""
    for key in [key for key in given if key.startswith(PLACE)]:
        name, value = key.removeprefix(PLACE), given.pop(key)
        if name in given:
            raise InputError(name, "one value", f"{value} and {given[name]}", "Give it in its place or as a flag.")
        given[name] = value
    return given


def add_flag(
    parser: Any, name: str, field: FieldInfo, shown: Any = None, positional: bool = False, dest: str | None = None
) -> None:
    """Add a field's flag, --name or --name and --no-name, to a parser or a group of one; its value stays text.

    Args:
        name: of the field.
        field: gives type, description and default.
        shown: the default that the help shows in place of the field's own.
        positional: a place instead of a flag.
        dest: of a place, where it goes under another name than the field's.
    """
    kinds = _kinds(field.annotation)
    default = field.get_default(call_default_factory=True) if shown is None else shown
    note = "required" if field.is_required() and shown is None else f"default: {_text(default)}"
    about = f"{field.description or name.replace('_', ' ')} ({note})".replace("%", "%%")
    options: dict[str, Any] = {"help": about, "default": argparse.SUPPRESS}
    if bool in kinds:
        options["action"] = argparse.BooleanOptionalAction
    else:
        options |= {"metavar": _metavar(kinds), "nargs": "*" if _is_many(kinds) else None}
    if positional:
        parser.add_argument(dest or name, **options | {"metavar": name.upper(), "nargs": "?"})
    else:
        parser.add_argument(f"--{name.replace('_', '-')}", dest=name, **options)


def typed(value: Any, field: FieldInfo) -> Any:
    """A flag's words as pydantic takes them: "None" where that may be, one word alone for a value that may be one."""
    kinds = _kinds(field.annotation)
    if value in ("None", ["None"]) and type(None) in kinds:
        return None
    alone = isinstance(value, list) and len(value) == 1 and not all(map(_is_list, kinds))
    return value[0] if alone else value


def _kinds(annotation: Any) -> list[Any]:
    """The types that a value may have."""
    if get_origin(annotation) is Annotated:
        return _kinds(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return [kind for part in get_args(annotation) for kind in _kinds(part)]
    return [annotation]


def _is_list(kind: Any) -> bool:
    return get_origin(kind) in (tuple, list)


def _is_many(kinds: Sequence[Any]) -> bool:
    return any(map(_is_list, kinds))


def _metavar(kinds: Sequence[Any]) -> str:
    first = kinds[0]
    if _is_list(first):
        return _metavar(_kinds(get_args(first)[0]))
    if get_origin(first) is Literal:
        return "{" + ",".join(map(str, get_args(first))) + "}"
    return NAMES.get(first, "VALUE")


def _text(value: Any) -> str:
    """A default, as one would write it after its flag."""
    if isinstance(value, list | tuple):
        return " ".join(map(_text, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
