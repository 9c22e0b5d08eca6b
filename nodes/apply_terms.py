"""Apply Guidance Terms: a MODEL that samples with a guidance graph in every KSampler-like node."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..gcfg_core.guidance.graph import GuidanceTerm
from .comfyui.types import CATEGORY, Terms, search_aliases
from .guider import rescale_input
from .sampling.any_sampler import with_terms


class ApplyTermsNode(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="GCFG_ApplyTerms",
            display_name="Apply Guidance Terms",
            category=CATEGORY,
            description=(
                "Puts guidance terms into a MODEL, for nodes that take a MODEL, positive, negative and cfg: KSampler, "
                "detailers, upscalers. There the negative is the base condition, and cfg the weight of the positive."
            ),
            inputs=[
                io.Model.Input("model", tooltip="The base model."),
                Terms.Input(
                    "terms",
                    tooltip="The terms beside the prompt, which the sampling node adds with cfg as its weight. A term "
                    "of a prompt in this chain (weight not below 0) keeps its window, curve and mask, and takes that "
                    "node's positive and cfg.",
                ),
                rescale_input(),
            ],
            outputs=[
                io.Model.Output("model_out", display_name="model", tooltip="For any node that samples with a MODEL.")
            ],
            **search_aliases("gcfg", "ksampler", "detailer", "upscale", "patch model", "guidance"),
        )

    @classmethod
    def execute(cls, model: Any, terms: tuple[GuidanceTerm, ...], rescale: float) -> io.NodeOutput:
        return io.NodeOutput(with_terms(model, terms, rescale))
