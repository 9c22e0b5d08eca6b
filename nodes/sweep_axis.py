"""Sweep Axis: one parameter that changes along a side of a GCFG Sweep's grid."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from comfy_api.latest import io

from ..gcfg_core.errors import InputError
from ..gcfg_core.guidance.axis_values import parse_values
from ..gcfg_core.guidance.sweep import PARAMETERS, Axis
from .comfyui.number_widget import check_number
from .comfyui.types import CATEGORY, AxisType, search_aliases
from .guidance_term import GuidanceTermNode
from .guider import rescale_input
from .sampler import seed_input


class SweepAxisNode(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="GCFG_SweepAxis",
            display_name="Sweep Axis",
            category=CATEGORY,
            description="One thing that changes from picture to picture in the grid of GCFG Sweep: a number of a "
            "guidance term, the rescale or the seed.",
            inputs=[
                io.Combo.Input(
                    "parameter", options=list(PARAMETERS), default="weight",
                    tooltip="What changes. weight, start_percent, end_percent: of a Guidance Term. curve_end: of one "
                    "whose curve is linear or cosine. curve_ramp: of one whose curve is ramp. rescale, seed: of the "
                    "GCFG Sweep.",
                ),
                io.String.Input(
                    "term", default="1",
                    tooltip="Which term: its label, or its number in the chain, 1 being the first. rescale and seed "
                    "have no term, and this is not used.",
                ),
                io.String.Input(
                    "values", default="0, 1.5, 3, 4.5",
                    tooltip="Numbers separated by commas. start:end:count stands for so many even steps: 0:3:5 is 0, "
                    "0.75, 1.5, 2.25, 3.",
                ),
            ],
            outputs=[AxisType.Output("axis", display_name="axis", tooltip="For columns or rows of GCFG Sweep.")],
            **search_aliases("gcfg", "xy plot", "grid", "values", "x axis", "y axis"),
        )  # fmt: skip

    @classmethod
    def execute(cls, parameter: str, term: str, values: str) -> io.NodeOutput:
        widget = _widget(parameter)
        return io.NodeOutput(
            Axis(parameter, term.strip(), tuple(_checked(value, widget) for value in parse_values(values)))
        )


def _widget(parameter: str) -> Any:
    """Return the input that has this value without a sweep; it defines the allowed values."""
    inputs = [*GuidanceTermNode.GET_SCHEMA().inputs, rescale_input(), seed_input()]
    return next(widget for widget in inputs if widget.id == parameter)


def _checked(value: Fraction, widget: Any) -> float | int:
    number = int(value) if value.denominator == 1 and isinstance(widget, io.Int.Input) else float(value)
    try:
        return check_number(widget, number)
    except InputError as error:
        raise InputError(f"values: {error.name}", error.expected, error.got, "Change that value.") from None
