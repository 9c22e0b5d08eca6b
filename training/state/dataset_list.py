"""pictures.json: the pictures that a run began with, so that a run that is continued can say which ones changed."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from gcfg_core.errors import some

from ..data.picture import Picture, printable
from ..durable import write_bytes

LIST = "pictures.json"
Entries = dict[str, tuple[str, str | None]]  # by name: hashes of the file and of its caption


def write_pictures(folder: Path, pictures: Sequence[Picture]) -> None:
    """Write the list into a run's folder.

    Raises:
        OSError: it could not be written.
    """
    write_bytes(folder / LIST, (json.dumps(_entries(pictures), indent=0) + "\n").encode())


def changes(folder: Path, pictures: Sequence[Picture]) -> str | None:
    """What is not as it was when the run began: how many pictures, and a few names; None where that is not known."""
    try:
        kept = json.loads((folder / LIST).read_text(encoding="utf-8"))
        before: Entries = {name: (file, caption) for name, (file, caption) in kept.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return None
    now = _entries(pictures)
    both = [name for name in now if name in before]
    kinds = {
        "added": [name for name in now if name not in before],
        "removed": [name for name in before if name not in now],
        "changed": [name for name in both if now[name][0] != before[name][0]],
        "with another caption": [name for name in both if now[name][1] != before[name][1]],
    }
    told = [f"{len(names)} {kind} ({some([*map(printable, names)])})" for kind, names in kinds.items() if names]
    return ", ".join(told) or "the same in another order"


def _entries(pictures: Sequence[Picture]) -> Entries:
    return {picture.name: (picture.sha256, _hash(picture.caption)) for picture in pictures}


def _hash(caption: str | None) -> str | None:
    return None if caption is None else hashlib.sha256(caption.encode("utf-8", "surrogatepass")).hexdigest()[:16]
