"""How to train on from a run's result with settings that the run itself cannot be continued with."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..console.program import PROGRAM
from ..settings.config import READS_TEXT
from .names import WORLD


def continuation(folder: Path, record: Mapping[str, Any]) -> str:
    """Return a sentence that says how; empty if nothing can start from the run's result.

    Args:
        folder: of the run.
        record: content of its run.json.
    """
    again = "To train on from it with other settings, give another --output and"
    if READS_TEXT.get(record.get("config", {}).get("model", {}).get("kind")):
        world = folder / WORLD
        return f"{again} --base {world}." if world.is_dir() else ""
    result = record.get("result")
    file = folder / str(result.get("file")) if isinstance(result, dict) else None
    if file is not None and file.is_file():
        return f"{again} --start {file}."
    return f"{again} --start START.safetensors, which `{PROGRAM} export {folder} START.safetensors` writes."
