"""Modify Guidance Term: projection, norm cap and refresh of the last term of a chain."""

from __future__ import annotations

from comfy_api.latest import io

from ..gcfg_core.guidance.graph import GuidanceTerm
from ..gcfg_core.guidance.modifiers import PROJECTIONS, NormCap, Project, Projection, Refresh
from .comfyui.types import CATEGORY, Terms, search_aliases


class ModifyTermNode(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="GCFG_ModifyTerm",
            display_name="Modify Guidance Term",
            category=CATEGORY,
            description="Changes how the newest term of the chain acts: direction, size, how often it is computed.",
            inputs=[
                Terms.Input("terms", tooltip="The chain whose last term is changed."),
                io.Combo.Input(
                    "projection", options=list(PROJECTIONS), default="off",
                    tooltip="Remove the part of the term that points along: its own positive prediction (APG, arXiv "
                    "2410.02416: less oversaturation), the primary term (Perp-Neg, arXiv 2304.04968: a negative "
                    "that does not undo the prompt) or the sum of the other terms. Neutral: off.",
                ),
                io.Float.Input(
                    "parallel", default=0.0, min=-10.0, max=10.0, step=0.05, round=0.001,
                    tooltip="Share of the parallel part that stays; APG uses 0. Neutral: 1.",
                ),
                io.Float.Input(
                    "norm_cap", default=0.0, min=0.0, max=10000.0, step=0.5, round=0.001,
                    tooltip="Largest L2 norm of the difference, per sample, applied before the projection; core's APG "
                    "node starts at 5. Neutral: 0, off.",
                ),
                io.Int.Input(
                    "refresh", default=1, min=1, max=1000,
                    tooltip="Recompute the difference at every so many sampler calls and reuse it between: 2 halves "
                    "the term's cost. Neutral: 1.",
                ),
            ],
            outputs=[Terms.Output("terms_out", display_name="terms", tooltip="The chain with its last term changed.")],
            **search_aliases("gcfg", "apg", "perp-neg", "projection", "norm threshold", "skip"),
        )  # fmt: skip

    @classmethod
    def execute(
        cls, terms: tuple[GuidanceTerm, ...], projection: Projection, parallel: float, norm_cap: float, refresh: int
    ) -> io.NodeOutput:
        if not terms:
            raise ValueError("terms: the chain is empty, so there is no term to modify; connect a Guidance Term.")
        *earlier, newest = terms
        modified = newest.with_modifiers(NormCap(norm_cap), Project(projection, parallel), Refresh(refresh))
        return io.NodeOutput((*earlier, modified))
