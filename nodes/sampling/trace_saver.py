"""Save a trace as files in ComfyUI's output folder."""

from __future__ import annotations

from pathlib import Path

import folder_paths

from ...gcfg_core.trace.file import trace_csv, trace_json
from ...gcfg_core.trace.trace import Trace

WRITERS = {"csv": trace_csv, "json": trace_json}
SAVE: dict[str, tuple[str, ...]] = {"nothing": (), "csv": ("csv",), "json": ("json",), "csv and json": ("csv", "json")}


def save_trace(trace: Trace, kinds: tuple[str, ...], filename_prefix: str) -> list[Path]:
    """Write a file of each kind under the next free number; never over an old file.

    Raises:
        Exception: ComfyUI refuses a prefix that leads out of the output folder.
    """
    if not kinds:
        return []
    folder, name, number, _, _ = folder_paths.get_save_image_path(filename_prefix, folder_paths.get_output_directory())
    paths = [Path(folder) / f"{name}_{number:05}_.{kind}" for kind in kinds]
    for kind, path in zip(kinds, paths, strict=True):
        path.write_text(WRITERS[kind](trace), encoding="utf-8", newline="")
    return paths
