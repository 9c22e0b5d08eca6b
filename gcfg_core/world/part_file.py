"""What the files of a world's parts have in common: kind and format in the metadata, and JSON values there."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor

from ..concept.metadata import FORMAT, FORMAT_KEY, KIND_KEY
from ..concept.tensor_file import open_tensors
from ..errors import ConceptFileError

AGAIN = "Copy or download the file again, or write the world again."


@contextmanager
def open_part(
    path: str | os.PathLike[str], kind: str, remedy: str
) -> Iterator[tuple[dict[str, Tensor], Mapping[str, str]]]:
    """Yield tensors and metadata of a part's file; a ConceptFileError inside the block is given the file's name.

    Args:
        path: of the .safetensors file.
        kind: the part's.
        remedy: for files of another kind.

    Raises:
        ConceptFileError: the file is damaged, of another kind, or of a newer format.
    """
    name = Path(path).name
    tensors, metadata = open_tensors(path)
    try:
        if metadata.get(KIND_KEY) != kind:
            raise ConceptFileError(KIND_KEY, kind, metadata.get(KIND_KEY) or "no kind", remedy)
        if metadata.get(FORMAT_KEY) != str(FORMAT):
            got = repr(metadata.get(FORMAT_KEY))
            raise ConceptFileError(FORMAT_KEY, str(FORMAT), got, "Update this node pack, or write the world again.")
        yield tensors, metadata
    except ConceptFileError as error:
        raise error.of(f"{name}: {error.name}") from error


def part_metadata(kind: str) -> dict[str, str]:
    """Return the metadata by which `open_part` knows a part."""
    return {FORMAT_KEY: str(FORMAT), KIND_KEY: kind}


def json_value(metadata: Mapping[str, str], key: str) -> Any:
    """Return a JSON value of the metadata; None if it is missing or damaged."""
    try:
        return json.loads(metadata.get(key, ""))
    except (ValueError, RecursionError):
        return None
