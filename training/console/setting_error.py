"""Turn pydantic's validation errors into one line for people."""

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from gcfg_core.errors import InputError

from .arguments import nearest

# pydantic's error type -> the expected value; {names} come from the error's context.
EXPECTED = {
    "greater_than": "a number greater than {gt}",
    "greater_than_equal": "a number not below {ge}",
    "less_than": "a number below {lt}",
    "less_than_equal": "a number not above {le}",
    "multiple_of": "a multiple of {multiple_of}",
    "literal_error": "{expected}",
    "extra_forbidden": "a known setting",
    "too_short": "at least {min_length} values",
    "too_long": "at most {max_length} values",
}
TYPES = {
    "int": "a whole number",
    "float": "a number",
    "finite_number": "a finite number",
    "bool": "true or false",
    "string": "text",
    "path": "a path",
    "list": "a list of values",
    "tuple": "a list of values",
    "model": "a table of settings",
}


def setting_error(error: ValidationError, model: type[BaseModel], where: str = "") -> InputError:
    """Return an InputError about the first wrong setting.

    Args:
        error: raised when validating ``model``.
        model: its field names, joined by dots, name the setting in the message.
        where: prefix of the name, for example a file name.
    """
    first = error.errors()[0]
    path, _ = _setting_names(first["loc"], model)
    same = (e for e in error.errors() if _setting_names(e["loc"], model)[0] == path)
    detail = max(same, key=lambda e: len(e["loc"]))  # the deepest: for a value that may be a list, the wrong item
    name = ": ".join(part for part in (where, path) if part)
    if detail["type"] == "extra_forbidden":
        return InputError(
            name, "a known setting", "an unknown setting", nearest(*_setting_names(detail["loc"], model)[1])
        )
    if detail["type"] == "missing":
        inside = len(detail["loc"]) > path.count(".") + 1  # missing items of a list
        return InputError(name, "more values" if inside else "a value", "none", "Give a value.")
    return InputError(name, _expected(detail), repr(detail["input"]), "Correct it.")


def _setting_names(place: Sequence[int | str], model: type[BaseModel]) -> tuple[str, tuple[str, Sequence[str]]]:
    """Split pydantic's error path into the setting's dotted name, and a pair: its last part and all names in its
    section."""
    names: list[str] = []
    section: Any = model
    for part in place:
        names.append(str(part))
        kind = section.model_fields[part].annotation if part in section.model_fields else None
        if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
            break
        section = kind
    return ".".join(names), (names[-1] if names else "", list(section.model_fields))


def _expected(error: Any) -> str:
    kind, context = error["type"], error.get("ctx", {})
    if kind in EXPECTED:
        return EXPECTED[kind].format(**context)
    named = next((words for name, words in TYPES.items() if kind.startswith(name)), None)
    message = error["msg"].removeprefix("Value error, ").removeprefix("expected ").removeprefix("Input should be ")
    return named or message[0].lower() + message[1:]
