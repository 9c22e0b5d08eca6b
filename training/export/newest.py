"""Find the concept file that a run wrote last."""

import json
from pathlib import Path

from gcfg_core.concept.metadata import FORMAT_KEY
from gcfg_core.concept.tensor_file import SAFETENSORS, tensor_names

from ..state.names import RECORD


def newest_concept(folder: Path) -> Path | None:
    """Return the result named in run.json, else the newest format 1 file in the folder, else None.

    Raises:
        ConceptFileError: a tensor file in the folder is damaged.
    """
    result = _result(folder)
    if result is not None:
        return result
    files = [
        file for file in folder.iterdir() if file.suffix.lower() in SAFETENSORS and FORMAT_KEY in tensor_names(file)[1]
    ]
    return max(files, key=lambda file: file.stat().st_mtime_ns, default=None)


def _result(folder: Path) -> Path | None:
    try:
        name = json.loads((folder / RECORD).read_text(encoding="utf-8"))["result"]["file"]
        path = folder / Path(name).name
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return path if path.suffix.lower() in SAFETENSORS and path.is_file() else None
