"""Files that are either whole or not there: written beside, flushed to the disk, renamed."""

import hashlib
import json
import uuid
from pathlib import Path
from typing import Any

from gcfg_core.durable import replacing

PARTIAL = ".partial"
"""Ends the names of files that are not whole yet."""


def sha256_of(path: Path) -> str:
    """Hex digest of a file."""
    digest = hashlib.sha256()
    with open(path, "rb") as handle:
        while piece := handle.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def write_bytes(path: Path, content: bytes, wait: bool = True) -> None:
    """Replace a file's content; what was there stays whole until the new one is on the disk. Missing folders are made.

    Args:
        wait: for the disk. Without, a file is whole whenever a process dies, but may be torn after a power failure: for
            files whose reader checks a hash, and that can be made again.

    Raises:
        OSError: it could not be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{uuid.uuid4().hex}{PARTIAL}")
    with replacing(path, partial, wait):
        partial.write_bytes(content)


def write_json(path: Path, value: Any) -> None:
    """Replace a file with a value as JSON, as `write_bytes` does."""
    write_bytes(path, (json.dumps(value, indent=2) + "\n").encode())
