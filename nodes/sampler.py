"""GCFG Sampler: KSampler with a guidance graph in the place of cfg, positive and negative."""

from __future__ import annotations

from typing import Any

import comfy.samplers
from comfy_api.latest import io, ui

from ..gcfg_core.guidance.graph import GuidanceTerm
from .comfyui.types import CATEGORY, search_aliases
from .guider import base_inputs, preview_input, rescale_input, terms_input, trace_output
from .sampling.announce import announce
from .sampling.guider import GCFGGuider
from .sampling.sample_latent import sample_latent, sampling_sigmas


def latent_input() -> Any:
    return io.Latent.Input("latent_image", tooltip="The latent to denoise; an empty one for text to image.")


def seed_input() -> Any:
    return io.Int.Input(
        "seed", default=0, min=0, max=0xFFFFFFFFFFFFFFFF, control_after_generate=True, tooltip="Seed of the noise."
    )


def sampling_inputs() -> list[Any]:
    """Return KSampler's widgets for denoising a latent."""
    return [
        io.Int.Input("steps", default=25, min=1, max=10000, tooltip="Number of steps; the paper uses 25."),
        io.Combo.Input(
            "sampler_name", options=list(comfy.samplers.KSampler.SAMPLERS), default="dpmpp_2m",
            tooltip="The paper uses DPM-Solver++ (dpmpp_2m).",
        ),
        io.Combo.Input(
            "scheduler", options=list(comfy.samplers.KSampler.SCHEDULERS), default="normal",
            tooltip="How the noise levels are spaced.",
        ),
        io.Float.Input(
            "denoise", default=1.0, min=0.0, max=1.0, step=0.01,
            tooltip="Share of noise added to the latent; below 1 the picture keeps its structure. Neutral: 1.",
        ),
    ]  # fmt: skip


class SamplerNode(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="GCFG_Sampler",
            display_name="GCFG Sampler",
            category=CATEGORY,
            description="Denoises a latent like KSampler, guided by any number of terms.",
            inputs=[
                *base_inputs(),
                latent_input(),
                terms_input(),
                seed_input(),
                *sampling_inputs(),
                rescale_input(),
                preview_input(),
            ],
            outputs=[io.Latent.Output("latent", display_name="latent", tooltip="The denoised latent."), trace_output()],
            **search_aliases("gcfg", "ksampler", "multi model sampler", "guidance"),
        )  # fmt: skip

    @classmethod
    def execute(
        cls, model: Any, conditioning: Any, latent_image: dict, seed: int, steps: int, sampler_name: str,
        scheduler: str, denoise: float, rescale: float, terms: tuple[GuidanceTerm, ...] = (), preview_at: float = 0.0,
    ) -> io.NodeOutput:  # fmt: skip
        guider = GCFGGuider(model, conditioning, terms, rescale, preview_at)
        sigmas = sampling_sigmas(model, sampler_name, scheduler, steps, denoise)
        text = announce(guider, sigmas, sampler_name)
        latent = sample_latent(guider, latent_image, seed, sampler_name, sigmas)
        return io.NodeOutput(latent, guider.trace, ui=ui.PreviewText(text))
