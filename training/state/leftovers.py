"""What a process left in a run's folder when it was killed while it wrote."""

import os
import re
import shutil
from pathlib import Path

from ..durable import PARTIAL
from ..processes.shared_disk import TOKEN

HEX = "[0-9a-f]{32}"
# Names with a random part, of files and of a world's folder, and the model card's.
TEMPORARY = re.compile(rf".+\.{HEX}({re.escape(PARTIAL)}|\.tmp)|\.README\.md\.tmp|{re.escape(TOKEN)}{HEX}")
REPLACED = re.compile(rf"\.(?P<name>.+)\.{HEX}\.old")  # a world that waits for the new one to be in its place


def remove_leftovers(folder: Path) -> None:
    """Remove them from a folder that no other process writes into; a world that lost its place gets it back."""
    for path in folder.iterdir():
        replaced = REPLACED.fullmatch(path.name)
        if replaced and not (folder / replaced["name"]).exists():
            os.replace(path, folder / replaced["name"])
        elif replaced or TEMPORARY.fullmatch(path.name):
            _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
