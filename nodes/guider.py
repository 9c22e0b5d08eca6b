"""GCFG Guider: a guidance graph for SamplerCustomAdvanced and every other node that takes a GUIDER."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io, ui

from ..gcfg_core.guidance.graph import GuidanceTerm
from .comfyui.types import CATEGORY, Terms, TraceType, search_aliases
from .sampling.announce import announce
from .sampling.guider import GCFGGuider


def base_inputs() -> list[Any]:
    """Return the sockets that describe a graph's base, shared by guider and sampler."""
    return [
        io.Model.Input("model", tooltip="The base model. It gives the unconditional prediction; cfg hooks act on it."),
        io.Conditioning.Input(
            "conditioning",
            tooltip="The base (unconditional) condition: an empty prompt, or what to avoid, as KSampler's negative.",
        ),
    ]


def terms_input() -> Any:
    return Terms.Input(
        "terms", optional=True, tooltip="Guidance terms. Without any, the base prediction is the result."
    )


def rescale_input() -> Any:
    return io.Float.Input(
        "rescale", default=0.0, min=0.0, max=1.0, step=0.01, round=0.001,
        tooltip="Pull the result's contrast back to the first term's positive prediction (arXiv 2305.08891, which uses "
        "0.7). Neutral: 0.",
    )  # fmt: skip


def preview_input() -> Any:
    return io.Float.Input(
        "preview_at", default=0.0, min=0.0, max=1.0, step=0.01, round=0.001, optional=True,
        tooltip="Share of sampling at which the single predictions are kept for Compare Predictions, 0.5 being half "
        "way. Costs a small copy, no evaluation, and changes no picture. Neutral: 0, off.",
    )  # fmt: skip


def trace_output() -> Any:
    return TraceType.Output(
        "trace",
        display_name="trace",
        tooltip="Filled while sampling: what each term did in every call, and what it cost. For Guidance Report.",
    )


class GuiderNode(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="GCFG_Guider",
            display_name="GCFG Guider",
            category=CATEGORY,
            description="Guides sampling with any number of terms: D = base + sum of weight * (positive - reference).",
            inputs=[*base_inputs(), terms_input(), rescale_input(), preview_input()],
            outputs=[
                io.Guider.Output("guider", display_name="guider", tooltip="For SamplerCustomAdvanced."),
                trace_output(),
            ],
            **search_aliases("gcfg", "cfg guider", "multi model", "dual model", "guidance"),
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        conditioning: Any,
        rescale: float,
        terms: tuple[GuidanceTerm, ...] = (),
        preview_at: float = 0.0,
    ) -> io.NodeOutput:
        guider = GCFGGuider(model, conditioning, terms, rescale, preview_at)
        text = announce(guider)
        return io.NodeOutput(guider, guider.trace, ui=ui.PreviewText(text))
