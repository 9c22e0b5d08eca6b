"""A custom node pack for tests: a text encoder of any width, for models whose real text encoder cannot shrink.

ComfyUI loads this folder from custom_nodes; tests in the same process import `StandInCLIP` from here.
"""

import hashlib

import torch
from comfy_api.latest import ComfyExtension, io

WIDTHS = {"sd15": (768, 768), "sd2v": (1024, 1024), "sdxl": (2048, 1280), "sd3": (4096, 2048), "wan": (4096, None)}
"""Context width and pooled width (None: no pooled vector) of each kind in rigs.tiny."""

TOKENS = 8


class StandInCLIP:
    """The methods of a CLIP that CLIP Text Encode calls: the same text gives the same random context."""

    def __init__(self, kind: str) -> None:
        self.width, self.pooled = WIDTHS[kind]

    def tokenize(self, text: str, **_: object) -> str:
        return text

    def encode_from_tokens_scheduled(self, tokens: str, add_dict: dict | None = None, **_: object) -> list:
        """Return a CONDITIONING: [1, 8, width] and, if the kind has it, a pooled vector [1, pooled]."""
        seed = int.from_bytes(hashlib.sha256(tokens.encode()).digest()[:7], "big")
        generator = torch.Generator().manual_seed(seed)
        context = torch.randn(1, TOKENS, self.width, generator=generator)
        extra = {} if self.pooled is None else {"pooled_output": torch.randn(1, self.pooled, generator=generator)}
        return [[context, {**extra, **(add_dict or {})}]]

    def clone(self) -> "StandInCLIP":
        return self

    def clip_layer(self, layer_idx: int) -> None:
        """Ignore the layer."""


class StandInCLIPLoader(io.ComfyNode):
    """Output a CLIP for a model without a text encoder."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="StandInCLIPLoader",
            category="tests",
            inputs=[io.Combo.Input("kind", options=list(WIDTHS))],
            outputs=[io.Clip.Output()],
        )

    @classmethod
    def execute(cls, kind: str) -> io.NodeOutput:
        return io.NodeOutput(StandInCLIP(kind))


class StandIns(ComfyExtension):
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [StandInCLIPLoader]


async def comfy_entrypoint() -> StandIns:
    return StandIns()
