"""Merge Guidance Terms: several chains joined into one, in order."""

from __future__ import annotations

from comfy_api.latest import io

from ..gcfg_core.guidance.graph import GuidanceTerm
from .comfyui.types import CATEGORY, Terms, search_aliases


class MergeTermsNode(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="GCFG_MergeTerms",
            display_name="Merge Guidance Terms",
            category=CATEGORY,
            description="Puts up to four chains of terms one after another; the result is the sum of them all.",
            inputs=[
                Terms.Input("terms_1", tooltip="First chain."),
                Terms.Input("terms_2", tooltip="Chain that follows."),
                Terms.Input("terms_3", optional=True, tooltip="Chain that follows."),
                Terms.Input("terms_4", optional=True, tooltip="Chain that follows."),
            ],
            outputs=[Terms.Output("terms_out", display_name="terms", tooltip="All terms as one chain.")],
            **search_aliases("gcfg", "combine", "join", "concat"),
        )

    @classmethod
    def execute(
        cls,
        terms_1: tuple[GuidanceTerm, ...],
        terms_2: tuple[GuidanceTerm, ...],
        terms_3: tuple[GuidanceTerm, ...] = (),
        terms_4: tuple[GuidanceTerm, ...] = (),
    ) -> io.NodeOutput:
        return io.NodeOutput((*terms_1, *terms_2, *terms_3, *terms_4))
