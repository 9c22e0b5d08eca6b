"""The values of a posted node's widgets, checked against its schema as ComfyUI does before a run."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ...gcfg_core.errors import InputError
from ..comfyui.number_widget import check_number, shown

LONGEST_TEXT = 2000
PRIMITIVES = ("PrimitiveFloat", "PrimitiveInt", "PrimitiveString", "PrimitiveStringMultiline")
"""ComfyUI's nodes that hold one value, so that their output is known before a run."""


def check_value(widget: Any, value: object) -> Any:
    """Return the value as the node will receive it.

    Raises:
        InputError: the widget of this schema input does not accept it.
    """
    if isinstance(widget, io.Combo.Input):
        if value not in widget.options:
            choices = ", ".join(map(str, widget.options))
            raise InputError(widget.id, f"one of {choices}", shown(value), "Choose one of these.")
        return value
    if isinstance(widget, io.String.Input):
        if not isinstance(value, str):
            raise InputError(widget.id, "a text", shown(value), "Type a text.")
        if len(value) > LONGEST_TEXT:
            expected, got = f"at most {LONGEST_TEXT} characters", str(len(value))
            raise InputError(widget.id, expected, got, "Longer texts are not described before a run.")
        return value
    return check_number(widget, value)
