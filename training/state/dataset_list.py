"""pictures.json: the pictures at the start of a run, to say which changed when the run is continued."""

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
Entries = dict[str, tuple[str, str | None]]  # name -> hashes of the file and of its caption


def write_pictures(folder: Path, pictures: Sequence[Picture]) -> None:
    """Write the list into the run's folder.

    Raises:
        OSError: the list could not be written.
    """
    write_bytes(folder / LIST, (json.dumps(_entries(pictures), indent=0) + "\n").encode())


def changes(folder: Path, pictures: Sequence[Picture]) -> str | None:
    """Say how many pictures changed since the run began, with some names; None if the list is missing or damaged."""
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
    """Explain a changed picture set by newly installed image packages; None if that does not explain it.

    Args:
        pictures: the present pictures.
        before: hash of the pictures at the start of the run.

    Returns:
        The change and its remedy, as texts.
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
