"""The values of a posted node's widgets, checked against its schema as ComfyUI does before a run."""

from __future__ import annotations

import math
from typing import Any

from comfy_api.latest import io

from ...gcfg_core.input_error import InputError

LONGEST_TEXT = 2000
PRIMITIVES = ("PrimitiveFloat", "PrimitiveInt", "PrimitiveString", "PrimitiveStringMultiline")
"""ComfyUI's nodes that hold one value, so that what they give is known before a run."""


def check_value(widget: Any, value: object) -> Any:
    """The value as the node will be given it.

    Raises:
        InputError: the widget of this schema input does not take it.
    """
    if isinstance(widget, io.Combo.Input):
        if value not in widget.options:
            choices = ", ".join(map(str, widget.options))
            raise InputError(widget.id, f"one of {choices}", _shown(value), "Choose one of these.")
        return value
    if isinstance(widget, io.String.Input):
        if not isinstance(value, str):
            raise InputError(widget.id, "a text", _shown(value), "Type one.")
        if len(value) > LONGEST_TEXT:
            expected, got = f"at most {LONGEST_TEXT} characters", str(len(value))
            raise InputError(widget.id, expected, got, "Longer ones are not described before a run.")
        return value
    return _check_number(widget, value)


def _check_number(widget: Any, value: object) -> float | int:
    whole = isinstance(widget, io.Int.Input)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or (isinstance(value, float) and not math.isfinite(value)) or (whole and value != int(value)):
        raise InputError(widget.id, "a whole number" if whole else "a number", _shown(value), "Enter one.")
    if not widget.min <= value <= widget.max:
        expected = f"a number from {widget.min:g} to {widget.max:g}"
        raise InputError(widget.id, expected, _shown(value), "Enter one in this range.")
    return int(value) if whole else float(value)


def _shown(value: object) -> str:
    """A value for people: of a long one its beginning."""
    if isinstance(value, int) and value.bit_length() > 256:  # Python refuses to write the longest ones
        return "a number of very many digits"
    return repr(value)[:60]
