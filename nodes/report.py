"""Guidance Report: the numbers of each term during sampling, as a picture, as text and as data."""

from __future__ import annotations

import os
from typing import Any

import folder_paths
from comfy_api.latest import io, ui

from ..gcfg_core.trace.table import trace_markdown
from ..gcfg_core.trace.trace import Trace
from .comfyui.types import CATEGORY, TraceType, search_aliases
from .drawing.library import CHOICES, drawing, interface_theme
from .sampling.announce import show_on_node
from .sampling.trace_saver import SAVE, save_trace

NOTHING_YET = (
    "Nothing has been sampled yet with the guider that this trace belongs to.",
    "Connect the latent or the picture that was made with it to this node's input 'after', so that the report is drawn "
    "when sampling is done. From GCFG Sampler the trace alone is enough.",
)


def trace_input() -> Any:
    return TraceType.Input("trace", tooltip="From GCFG Sampler or GCFG Guider. Reading it costs no new sampling.")


def after_input() -> Any:
    return io.MultiType.Input(
        "after", types=[io.Latent, io.Image], optional=True,
        tooltip="The latent or picture made with the guider: only so that this node waits for it. Needed with GCFG "
        "Guider, not with GCFG Sampler.",
    )  # fmt: skip


def theme_input() -> Any:
    return io.Combo.Input(
        "theme", options=["auto", "light", "dark"], default="auto",
        tooltip="Ground of the picture; auto is that of the interface.",
    )  # fmt: skip


def chosen_theme(theme: str) -> Any:
    return drawing("theme").THEMES[interface_theme() if theme == "auto" else theme]


class ReportNode(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="GCFG_Report",
            display_name="Guidance Report",
            category=CATEGORY,
            description="Shows what each guidance term did: how hard it pushed and when, whether with or against the "
            "others, and what it cost. Can be connected after the picture is made, without sampling again.",
            inputs=[
                trace_input(),
                after_input(),
                io.Combo.Input(
                    "draw", options=list(CHOICES), default="overview",
                    tooltip="overview: how hard each term pushes, which way, and the cost. everything: also weights "
                    "and sizes. The others: one part alone.",
                ),
                theme_input(),
                io.Int.Input(
                    "width", default=1200, min=512, max=4096, step=8,
                    tooltip="Width of the picture in pixels; all in it grows along, the height follows.",
                ),
                io.Combo.Input(
                    "save", options=list(SAVE), default="nothing",
                    tooltip="Write the numbers of every call into the output folder: csv for spreadsheets, json for "
                    "programs. Where they went is at the end of the text.",
                ),
                io.String.Input(
                    "filename_prefix", default="gcfg/report",
                    tooltip="Folder and name of saved numbers, within the output folder; %year% and such work.",
                ),
            ],
            outputs=[
                io.Image.Output("picture", display_name="picture", tooltip="The report, for Save Image."),
                io.String.Output(
                    "text",
                    display_name="text",
                    tooltip="The same as Markdown: formula, evaluations, seconds, and the means of every term.",
                ),
            ],
            hidden=[io.Hidden.unique_id, io.Hidden.prompt, io.Hidden.extra_pnginfo],
            is_output_node=True,
            **search_aliases("gcfg", "trace", "plot", "chart", "statistics", "cfg", "guidance strength", "debug"),
        )  # fmt: skip

    @classmethod
    def execute(
        cls, trace: Trace, draw: str, theme: str, width: int, save: str, filename_prefix: str, after: Any = None
    ) -> io.NodeOutput:
        colors = chosen_theme(theme)
        if not trace.records:
            sheet = drawing("notice").draw_notice("No guidance to report", NOTHING_YET, colors, width)
            text = "\n".join(NOTHING_YET)
        else:
            sheet = drawing("report").Report(trace, draw).sheet(colors, width)
            text = trace_markdown(trace)
            saved = [_place(path) for path in save_trace(trace, SAVE[save], filename_prefix)]
            if saved:
                text += f"\nSaved: {', '.join(saved)}\n"
                show_on_node(f"Saved {' and '.join(saved)}", cls.hidden.unique_id)
        picture = sheet.pixels()
        shown = ui.PreviewImage(picture, cls=cls).as_dict()
        return io.NodeOutput(picture, text, ui={**shown, "text": (text,)})


def _place(path: Any) -> str:
    """Format a path as 'output/gcfg/report_00001_.csv'."""
    output = folder_paths.get_output_directory()
    return os.path.join(os.path.basename(output), os.path.relpath(path, output)).replace(os.sep, "/")
