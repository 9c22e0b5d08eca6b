"""GCFG Sweep: GCFG Sampler with every combination of two axes' values, as one labelled picture."""

from __future__ import annotations

from typing import Any

import torch
from comfy_api.latest import io, ui

from ..gcfg_core.guidance.graph import GuidanceTerm
from ..gcfg_core.guidance.sweep import Axis, Settings, lay_out_sweep
from .comfyui.types import CATEGORY, AxisType, search_aliases
from .drawing.library import drawing
from .guider import base_inputs, rescale_input, terms_input
from .report import chosen_theme, theme_input
from .sampler import latent_input, sampling_inputs, seed_input
from .sampling.announce import announce_sweep
from .sampling.guider import GCFGGuider
from .sampling.sample_latent import sampling_sigmas
from .sampling.sweep_progress import SweepProgress
from .sampling.sweep_run import decode_sweep, interruptions, sample_sweep


def axis_inputs() -> list[Any]:
    return [
        AxisType.Input("columns", tooltip="What changes to the right: a Sweep Axis."),
        AxisType.Input(
            "rows", optional=True,
            tooltip="What changes downwards: a Sweep Axis. Without it the columns go on in further lines.",
        ),
    ]  # fmt: skip


class SweepNode(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="GCFG_Sweep",
            display_name="GCFG Sweep",
            category=CATEGORY,
            description="Samples one graph under every combination of one or two Sweep Axis nodes' values and sets the "
            "pictures into a labelled grid. Each is the one that GCFG Sampler gives with these values. When "
            "interrupted, the pictures that are done are kept.",
            inputs=[
                *base_inputs(),
                latent_input(),
                io.Vae.Input("vae", tooltip="Turns the sampled latents into pictures, as VAE Decode does."),
                *axis_inputs(),
                terms_input(),
                seed_input(),
                *sampling_inputs(),
                rescale_input(),
                theme_input(),
                io.Int.Input(
                    "size", default=512, min=64, max=4096, step=8,
                    tooltip="Longer side of each picture in the grid in pixels, at most; small pictures are enlarged "
                    "by whole numbers. The output images keeps their own size.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    "grid",
                    display_name="grid",
                    tooltip="The labelled grid, for Save Image; one for each picture of the latent's batch.",
                ),
                io.Image.Output(
                    "images",
                    display_name="images",
                    tooltip="The pictures themselves, row by row; after an interrupt those that were done.",
                ),
            ],
            **search_aliases("gcfg", "xy plot", "grid", "compare weights", "parameter sweep", "matrix"),
        )  # fmt: skip

    @classmethod
    def fingerprint_inputs(cls, **_: Any) -> int:
        """Return a value that changes with an interrupt, so that the sweep is sampled again when it is queued again."""
        return interruptions()

    @classmethod
    def execute(
        cls, model: Any, conditioning: Any, latent_image: dict, vae: Any, columns: Axis, seed: int, steps: int,
        sampler_name: str, scheduler: str, denoise: float, rescale: float, theme: str, size: int,
        rows: Axis | None = None, terms: tuple[GuidanceTerm, ...] = (),
    ) -> io.NodeOutput:  # fmt: skip
        grid, colors = drawing("sweep_grid"), chosen_theme(theme)
        sweep = lay_out_sweep(Settings(terms, rescale, seed), columns, rows)
        guiders = [GCFGGuider(model, conditioning, cell.terms, cell.rescale) for cell in sweep.cells]
        sigmas = sampling_sigmas(model, sampler_name, scheduler, steps, denoise)
        wired = GCFGGuider(model, conditioning, terms, rescale)
        text = announce_sweep(wired, sweep, [guider.plan for guider in guiders], sigmas, sampler_name)
        shape = drawing("sweep_layout").shape_of(sweep.columns, sweep.rows)
        progress = SweepProgress(model, shape, len(guiders), max(len(sigmas) - 1, 1))
        latents = sample_sweep(sweep, guiders, latent_image, sampler_name, sigmas, progress)
        pictures = decode_sweep(vae, latents, is_cut=len(latents) < len(guiders))
        picture = grid.draw_sweep(pictures, sweep.columns, sweep.rows, size, colors)
        progress.show(picture[0])
        return io.NodeOutput(picture, torch.cat(pictures), ui=ui.PreviewText(text))
