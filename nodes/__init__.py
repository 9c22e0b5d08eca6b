"""The pack's nodes."""

from __future__ import annotations

from comfy_api.latest import ComfyExtension, io

from .apply_terms import ApplyTermsNode
from .compare_predictions import ComparePredictionsNode
from .guidance_term import GuidanceTermNode
from .guider import GuiderNode
from .live.route import add_routes
from .load_concept_model import LoadConceptModelNode
from .load_starter_world import LoadStarterWorldNode
from .loading.model_folders import register_model_folders
from .merge_terms import MergeTermsNode
from .modify_term import ModifyTermNode
from .report import ReportNode
from .sampler import SamplerNode
from .sweep import SweepNode
from .sweep_axis import SweepAxisNode

register_model_folders()
add_routes()


class GCFGExtension(ComfyExtension):
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [
            LoadStarterWorldNode,
            LoadConceptModelNode,
            GuidanceTermNode,
            ModifyTermNode,
            MergeTermsNode,
            GuiderNode,
            SamplerNode,
            ApplyTermsNode,
            SweepAxisNode,
            SweepNode,
            ReportNode,
            ComparePredictionsNode,
        ]
