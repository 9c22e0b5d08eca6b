"""Write files completely or not at all: write to a temporary name, flush to the disk, rename."""

import hashlib
import json
import uuid
from pathlib import Path
from typing import Any

from gcfg_core.durable import replacing

PARTIAL = ".partial"
"""Suffix of files that are still being written."""


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file as hex digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as handle:
        while piece := handle.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def write_bytes(path: Path, content: bytes, wait: bool = True) -> None:
    """Replace a file's content; the old content stays until the new content is complete. Create missing folders.

    Args:
        wait: flush to the disk. False: a killed process still leaves a complete file, but a power failure may not; only
            for files that are checked by hash when read and can be made again.

    Raises:
        OSError: the file could not be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{uuid.uuid4().hex}{PARTIAL}")
    with replacing(path, partial, wait):
        partial.write_bytes(content)


def write_json(path: Path, value: Any) -> None:
    """Write a value as JSON, with the guarantees of `write_bytes`."""
    write_bytes(path, (json.dumps(value, indent=2) + "\n").encode())
