"""The concept file that a run wrote last."""

from pathlib import Path

from gcfg_core.concept_metadata import FORMAT_KEY
from gcfg_core.tensor_file import SAFETENSORS, tensor_names


def newest_concept(folder: Path) -> Path | None:
    """The newest format 1 file in a folder, None where there is none.

    Raises:
        ConceptFileError: a file of tensors there is damaged.
    """
    files = [file for file in folder.iterdir() if file.suffix in SAFETENSORS and FORMAT_KEY in tensor_names(file)[1]]
    return max(files, key=lambda file: file.stat().st_mtime_ns, default=None)
