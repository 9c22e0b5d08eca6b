"""Flags from a pydantic model: each field becomes a flag, and the command line becomes the model."""

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

NAMES = {int: "INT", float: "FLOAT", str: "TEXT", Path: "PATH"}  # shown in the help
PLACE = "place of "  # prefix of a positional argument whose field has a flag too
Model = TypeVar("Model", bound=BaseModel)


def parse_settings(
    model: type[Model],
    prog: str,
    about: str,
    words: Sequence[str],
    positional: Sequence[str] = (),
    beside: bool = False,
) -> Model:
    """Parse a command line into a model.

    Args:
        model: every field has a flag, except the fields in ``positional``.
        prog, about: program name and description in the help.
        words: the command line.
        positional: fields given by position.
        beside: the fields in ``positional`` have flags too; each may be given only once.

    Raises:
        InputError: the first wrong, unknown or missing argument.
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
                about = f"Give {flag}: {field.description}; `{prog} --help` lists the flags."
                raise InputError(flag, "a value", "none", about) from None
        raise setting_error(error, model) from None


def _once(given: dict[str, Any]) -> dict[str, Any]:
    """Merge positional arguments and flags under their field names; refuse a field that is given twice."""
    for key in [key for key in given if key.startswith(PLACE)]:
        name, value = key.removeprefix(PLACE), given.pop(key)
        if name in given:
            raise InputError(name, "one value", f"{value} and {given[name]}", "Give it by position or as a flag.")
        given[name] = value
    return given


def add_flag(
    parser: Any, name: str, field: FieldInfo, shown: Any = None, positional: bool = False, dest: str | None = None
) -> None:
    """Add a field's flag to a parser or argument group: --name, or --name and --no-name. Its value stays text.

    Args:
        name: the field's name.
        field: its type, description and default.
        shown: default to show in the help instead of the field's own.
        positional: add a positional argument instead of a flag.
        dest: name of the positional argument in the result, if not the field's.
    """
    kinds = _kinds(field.annotation)
    default = field.get_default(call_default_factory=True) if shown is None else shown
    note = "required" if field.is_required() and shown is None else f"default: {_text(default)}"
    about = field.description or name.replace("_", " ")
    if "default: " not in about:  # the description says it in words
        about = f"{about} ({note})"
    options: dict[str, Any] = {"help": about.replace("%", "%%"), "default": argparse.SUPPRESS}
    if bool in kinds:
        options["action"] = argparse.BooleanOptionalAction
    else:
        options |= {"metavar": _metavar(kinds), "nargs": "*" if _is_many(kinds) else None}
    if positional:
        parser.add_argument(dest or name, **options | {"metavar": name.upper(), "nargs": "?"})
    else:
        parser.add_argument(f"--{name.replace('_', '-')}", dest=name, **options)


def typed(value: Any, field: FieldInfo) -> Any:
    """Convert a flag's words for pydantic: "None" becomes None if allowed, and a single word leaves its list if
    allowed."""
    kinds = _kinds(field.annotation)
    if value in ("None", ["None"]) and type(None) in kinds:
        return None
    alone = isinstance(value, list) and len(value) == 1 and not all(map(_is_list, kinds))
    return value[0] if alone else value


def _kinds(annotation: Any) -> list[Any]:
    """Return the types that a value may have."""
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
    """Format a default as it would be typed after its flag."""
    if isinstance(value, list | tuple):
        return " ".join(map(_text, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
