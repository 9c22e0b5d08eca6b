"""Remove temporary files of a process that was killed while it wrote into a run's folder."""

import os
import re
import shutil
from pathlib import Path

from ..durable import PARTIAL
from ..processes.shared_disk import TOKEN

HEX = "[0-9a-f]{32}"
# Temporary names: files and a world's folder (with a random part), and the model card.
TEMPORARY = re.compile(rf".+\.{HEX}({re.escape(PARTIAL)}|\.tmp)|\.README\.md\.tmp|{re.escape(TOKEN)}{HEX}")
REPLACED = re.compile(rf"\.(?P<name>.+)\.{HEX}\.old")  # a world that is being replaced


def remove_leftovers(folder: Path) -> None:
    """Remove temporary files. No other process may write into the folder. A world whose replacement is missing is
    restored."""
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
