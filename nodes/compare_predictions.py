"""Compare Predictions: the picture that each prediction of the graph leads to, in one guider call."""

from __future__ import annotations

from typing import Any

import torch
from comfy_api.latest import io, ui

from ..gcfg_core.trace.trace import Trace
from .comfyui.types import CATEGORY, search_aliases
from .drawing.library import drawing
from .report import after_input, chosen_theme, theme_input, trace_input

NOT_KEPT = (
    "No predictions were kept.",
    "Set preview_at on GCFG Sampler or GCFG Guider above 0, such as 0.5 for half way, and queue again. With GCFG "
    "Guider also connect the latent or the picture that was made with it to this node's input 'after'.",
)


class ComparePredictionsNode(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="GCFG_ComparePredictions",
            display_name="Compare Predictions",
            category=CATEGORY,
            description="Shows side by side what the picture would be from each prediction alone and from all of them "
            "together, at the moment that preview_at of GCFG Sampler or GCFG Guider names. Under a noise mask all of "
            "them are shown before the original is blended in.",
            inputs=[
                trace_input(),
                io.Vae.Input("vae", tooltip="Turns the kept predictions into pictures, as for VAE Decode."),
                after_input(),
                theme_input(),
                io.Int.Input(
                    "size", default=320, min=64, max=2048, step=8,
                    tooltip="Longer side of each picture in pixels.",
                ),
            ],
            outputs=[io.Image.Output("strip", display_name="strip", tooltip="The labelled pictures, for Save Image.")],
            hidden=[io.Hidden.prompt, io.Hidden.extra_pnginfo],
            is_output_node=True,
            **search_aliases("gcfg", "preview", "trace", "strip", "grid", "denoised", "x0"),
        )  # fmt: skip

    @classmethod
    def execute(cls, trace: Trace, vae: Any, theme: str, size: int, after: Any = None) -> io.NodeOutput:
        colors, kept = chosen_theme(theme), trace.kept
        if kept is None:
            sheet = drawing("notice").draw_notice("No predictions to compare", NOT_KEPT, colors, 1000)
        else:
            pictures = {name: _picture(vae.decode(latent)) for name, latent in kept.latents.items()}
            title = f"Predictions at {kept.progress:.0%} of sampling, σ {kept.sigma:.3g}"
            sheet = drawing("strip").draw_strip(title, pictures, size, colors)
        picture = sheet.pixels()
        return io.NodeOutput(picture, ui=ui.PreviewImage(picture, cls=cls))


def _picture(decoded: torch.Tensor) -> torch.Tensor:
    """Convert [..., H, W, 3] to [H, W, 3]; of a video take the middle frame."""
    frames = decoded.reshape(-1, *decoded.shape[-3:]).cpu()
    return frames[len(frames) // 2]
