"""The pack as the Comfy Registry gets it: git's files except those of .comfyignore, as `comfy node pack` zips them."""

import shutil
import subprocess
from pathlib import Path

from rigs.host import ROOT


def archive_files() -> list[str]:
    """List the paths in the archive, with files that are not committed yet.

    Raises:
        FileNotFoundError: there is no git checkout, or no git.
    """
    if not (ROOT / ".git").exists():
        raise FileNotFoundError(f"{ROOT} is no git checkout")
    tracked = _ls_files("--exclude-standard")
    left_out = _ls_files("--ignored", "--exclude-from=.comfyignore")
    return sorted(path for path in tracked - left_out if (ROOT / path).is_file())


def unpack(folder: Path) -> Path:
    """Copy the archive's files into a new folder, as an installation does."""
    for path in archive_files():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / path, folder / path)
    return folder


def _ls_files(*options: str) -> set[str]:
    command = ["git", "ls-files", "-z", "--cached", "--others", *options]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout
    return set(filter(None, listed.decode().split("\0")))
