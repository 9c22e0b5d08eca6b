"""pictures.json: the pictures that a run began with, so that a run that is continued can say which ones changed."""

import hashlib
import json
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

from gcfg_core.errors import some

from ..data.picture import Picture, digest_of, printable
from ..data.plugins import PLUGINS
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
    parts = [f"{len(names)} {kind} ({some([*map(printable, names)])})" for kind, names in kinds.items() if names]
    return ", ".join(parts) or "the same in another order"


def _entries(pictures: Sequence[Picture]) -> Entries:
    return {picture.name: (picture.sha256, _hash(picture.caption)) for picture in pictures}


def _hash(caption: str | None) -> str | None:
    return None if caption is None else hashlib.sha256(caption.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def newly_read(pictures: Sequence[Picture], before: object) -> tuple[str, str] | None:
    """What is new and what to do about it, where pictures of some packages' formats are all that is; None elsewhere.

    Args:
        pictures: those that are there now.
        before: hash of the pictures that the run began with.
    """
    formats = {picture.format for picture in pictures}
    plugins = [plugin for plugin in PLUGINS if plugin.is_needed and plugin.format in formats]
    for chosen in (chosen for count in range(len(plugins)) for chosen in combinations(plugins, count + 1)):
        new = {plugin.format for plugin in chosen}
        if digest_of(picture for picture in pictures if picture.format not in new) == before:
            names = [printable(picture.name) for picture in pictures if picture.format in new]
            packages = [plugin.package for plugin in chosen]
            remedy = f"{' and '.join(packages)} can read them, which the run began without: move them out of the folder"
            remedy += f", or pip uninstall {' '.join(packages)}, to continue it."
            return f"{len(names)} added ({some(names)})", remedy
    return None
