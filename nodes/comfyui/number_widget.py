"""Check that an input's widget accepts a number."""

from __future__ import annotations

import math
from typing import Any

from comfy_api.latest import io

from ...gcfg_core.errors import InputError


def check_number(widget: Any, value: object) -> float | int:
    """Return the value as ComfyUI passes it to the node.

    Args:
        widget: a schema's Int or Float input.

    Raises:
        InputError: the value is not a number, not a whole number for an Int, or out of range.
    """
    whole = isinstance(widget, io.Int.Input)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or (isinstance(value, float) and not math.isfinite(value)) or (whole and value != int(value)):
        expected = "a whole number" if whole else "a number"
        raise InputError(widget.id, expected, shown(value), f"Enter {expected}.")
    if not widget.min <= value <= widget.max:
        expected = f"a number from {widget.min:g} to {widget.max:g}"
        raise InputError(widget.id, expected, shown(value), "Enter a number in this range.")
    return int(value) if whole else float(value)


def shown(value: object) -> str:
    """Format a value for a message; a long value is cut off."""
    if isinstance(value, int) and value.bit_length() > 256:  # Python refuses to write the longest numbers
        return "a number of very many digits"
    return repr(value)[:60]
