"""Remember the facts about unchanged files, so that a second scan does not open them."""

import contextlib
import hashlib
import json
from pathlib import Path
from typing import Any

import PIL

from gcfg_core.errors import InputError

from ..durable import write_bytes
from .image_file import error_line
from .picture import ImageFacts, RejectedFacts, Size, printable
from .pixels import DECODE_VERSION
from .plugins import plugin_versions
from .walk import FileStamp

INDEX_VERSION = 2


Facts = ImageFacts | RejectedFacts


class ScanIndex:
    """Facts by file name and stamp, in one JSON file per picture folder and pixel limit; in memory only without a
    cache."""

    def __init__(self, cache: Path | None, images: Path, max_pixels: int) -> None:
        self.known: dict[str, tuple[list[int], Facts]] = {}
        self.header = {"index": INDEX_VERSION, "decode": DECODE_VERSION, "pillow": PIL.__version__, **plugin_versions()}
        self.path: Path | None = None
        if cache is not None:
            place = hashlib.sha256(f"{max_pixels}/{images.resolve()}".encode("utf-8", "surrogatepass"))
            self.path = cache / f"scan-{place.hexdigest()[:16]}.json"
            # A damaged or foreign index is ignored.
            with contextlib.suppress(OSError, ValueError, TypeError, KeyError, RecursionError):
                self.known = self._read(self.path)

    def _read(self, path: Path) -> dict[str, tuple[list[int], Facts]]:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["header"] != self.header:
            return {}
        return {name: (list(stamp), _facts(entry)) for name, (stamp, entry) in content["files"].items()}

    def get(self, file: FileStamp) -> Facts | None:
        """Return the facts of a file; None if it is new or has changed."""
        stamp, facts = self.known.get(file.name, (None, None))
        return facts if stamp == list(file.stamp) else None

    def put(self, file: FileStamp, facts: Facts) -> None:
        """Store the facts of a file; unreadable files are tried again every time."""
        if isinstance(facts, RejectedFacts) and facts.kind == "unreadable":
            self.known.pop(file.name, None)
        else:
            self.known[file.name] = (list(file.stamp), facts)

    def keep(self, names: set[str]) -> None:
        """Forget files that no longer exist."""
        self.known = {name: entry for name, entry in self.known.items() if name in names}

    def save(self) -> None:
        """Write the index completely or not at all.

        Raises:
            InputError: the cache folder cannot be written.
        """
        if self.path is None:
            return
        files = {name: (stamp, _entry(facts)) for name, (stamp, facts) in self.known.items()}
        content = json.dumps({"header": self.header, "files": files}, separators=(",", ":"))
        try:
            write_bytes(self.path, content.encode())
        except OSError as error:
            raise InputError(f"cache {printable(self.path.parent)}", "a folder that can be written", error_line(error),
                             "Give another folder, or make space.") from None  # fmt: skip


def _entry(facts: Facts) -> list[Any]:
    if isinstance(facts, RejectedFacts):
        return [facts.kind, facts.reason]
    return [*facts.size, facts.format, facts.sha256, facts.transparent]


def _facts(entry: list[Any]) -> Facts:
    if len(entry) == 2:
        return RejectedFacts(entry[0], str(entry[1]))
    width, height, name, sha256, transparent = entry
    return ImageFacts(Size(int(width), int(height)), str(name), str(sha256), bool(transparent))
