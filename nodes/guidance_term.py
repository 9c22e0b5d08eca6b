"""Guidance Term: one difference of two predictions, its weight and when it acts."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..gcfg_core.guidance.curves import CONSTANT, Cosine, Curve, Linear, Ramp, parse_keyframes
from ..gcfg_core.guidance.graph import PAPER_WEIGHT, GuidanceTerm, Side
from ..gcfg_core.guidance.sampling_progress import Window
from .comfyui.types import CATEGORY, Terms, search_aliases

CURVES = ("constant", "linear", "cosine", "ramp", "keyframes")


def make_curve(kind: str, end: float, ramp: float, keyframes: str) -> Curve:
    curves = {
        "constant": lambda: CONSTANT,
        "linear": lambda: Linear(end),
        "cosine": lambda: Cosine(end),
        "ramp": lambda: Ramp(ramp),
        "keyframes": lambda: parse_keyframes(keyframes),
    }
    return curves[kind]()


def side_inputs() -> list[Any]:
    """Return the sockets of the two compared predictions; an open socket means the base's model or condition."""
    return [
        io.Model.Input(
            "model", optional=True,
            tooltip="Model of the positive side: a concept model, or the base with a LoRA. Default: the base.",
        ),
        io.Conditioning.Input(
            "positive", optional=True,
            tooltip="Condition of the positive side, such as the prompt. Default: the base condition.",
        ),
        io.Model.Input(
            "reference_model", optional=True,
            tooltip="Model of the side that is subtracted, as a weaker one in autoguidance. Default: the base.",
        ),
        io.Conditioning.Input(
            "reference", optional=True,
            tooltip="Condition of the side that is subtracted. Default: the base condition.",
        ),
    ]  # fmt: skip


def curve_inputs() -> list[Any]:
    """Return the widgets for the change of the weight over its window."""
    return [
        io.Combo.Input(
            "curve", options=list(CURVES), default="constant",
            tooltip="How the weight changes over the window. linear, cosine: from weight to weight * "
            "curve_end. ramp: cosine in and out. keyframes: as written below. Neutral: constant.",
        ),
        io.Float.Input(
            "curve_end", default=0.0, min=-10.0, max=10.0, step=0.05, round=0.001,
            tooltip="linear, cosine: factor on the weight at the window's end. Neutral: 1.",
        ),
        io.Float.Input(
            "curve_ramp", default=0.25, min=0.0, max=0.5, step=0.01, round=0.0001,
            tooltip="ramp: share of the window that each ramp takes. Neutral: 0.",
        ),
        io.String.Input(
            "keyframes", default="0:1, 1:0",
            tooltip="keyframes: position:factor pairs over the window, 0 its start, 1 its end. Neutral: 0:1.",
        ),
    ]  # fmt: skip


class GuidanceTermNode(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="GCFG_GuidanceTerm",
            display_name="Guidance Term",
            category=CATEGORY,
            description=(
                "Adds weight * (positive prediction - reference prediction) to the result. Every side that is not "
                "connected is the base's: connect a concept model alone for concept guidance (fidelity), a prompt "
                "alone for control guidance. Terms chain in any number; what they share is evaluated once."
            ),
            inputs=[
                Terms.Input("terms", optional=True, tooltip="Earlier terms; this one is added at their end."),
                *side_inputs(),
                io.Mask.Input(
                    "mask", optional=True,
                    tooltip="Where the term acts; white is full weight. Resized to the latent. Default: everywhere.",
                ),
                io.Float.Input(
                    "weight", default=PAPER_WEIGHT, min=-100.0, max=100.0, step=0.05, round=0.001,
                    tooltip=f"The paper uses {PAPER_WEIGHT} for concept and for control; useful from 1 to 7.5. "
                    "Negative pushes away. Neutral: 0, which also costs nothing.",
                ),
                io.Float.Input(
                    "start_percent", default=0.0, min=0.0, max=1.0, step=0.01, round=0.0001,
                    tooltip="Share of sampling at which the term begins to act. Neutral: 0.",
                ),
                io.Float.Input(
                    "end_percent", default=1.0, min=0.0, max=1.0, step=0.01, round=0.0001,
                    tooltip="Share of sampling at which the term stops; from there it costs nothing. Neutral: 1.",
                ),
                *curve_inputs(),
                io.String.Input(
                    "label", default="",
                    tooltip="Name of the term, and of what only it uses, in the formula, the log and the trace.",
                ),
            ],
            outputs=[Terms.Output("terms_out", display_name="terms", tooltip="The chain with this term at its end.")],
            **search_aliases("gcfg", "cfg", "concept guidance", "control guidance", "autoguidance", "negative"),
        )  # fmt: skip

    @classmethod
    def execute(
        cls, weight: float, start_percent: float, end_percent: float, curve: str, curve_end: float, curve_ramp: float,
        keyframes: str, label: str, terms: tuple[GuidanceTerm, ...] = (), model: Any = None, positive: Any = None,
        reference_model: Any = None, reference: Any = None, mask: Any = None,
    ) -> io.NodeOutput:  # fmt: skip
        term = GuidanceTerm(
            positive=Side(model, positive),
            reference=Side(reference_model, reference),
            weight=weight,
            window=Window(start_percent, end_percent),
            curve=make_curve(curve, curve_end, curve_ramp, keyframes),
            mask=mask,
            label=label.strip(),
        )
        return io.NodeOutput((*terms, term))
