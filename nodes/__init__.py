"""The pack's nodes."""

from __future__ import annotations

from comfy_api.latest import ComfyExtension, io

from .guidance_term import GuidanceTermNode
from .guider import GuiderNode
from .merge_terms import MergeTermsNode
from .modify_term import ModifyTermNode
from .sampler import SamplerNode


class GCFGExtension(ComfyExtension):
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [GuidanceTermNode, ModifyTermNode, MergeTermsNode, GuiderNode, SamplerNode]
