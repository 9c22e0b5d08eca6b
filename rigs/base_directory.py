"""A directory of models, packs and inputs for ComfyUI, so that its own folder stays clean."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from rigs.host import ROOT

PACK = {"comfyui-gcfg": ROOT}
STAND_INS = ROOT / "rigs" / "stand_ins"
PACK_AND_STAND_INS = {**PACK, "stand_ins": STAND_INS}
"""Custom nodes by the names of their links."""

MODEL_FOLDERS = ("checkpoints", "diffusion_models", "gcfg_concepts", "loras", "controlnet", "vae", "text_encoders")
NOT_PACK = shutil.ignore_patterns(".*", "output", "__pycache__")


def lay_out(
    base: Path,
    packs: Mapping[str, Path],
    models: Mapping[str, Mapping[str, Path]],
    images: Mapping[str, Path] | None = None,
) -> None:
    """Make a ComfyUI base directory: link packs and model files if the system allows links, and copy input images,
    because newer ComfyUI versions refuse inputs outside the directory."""
    for name in ("custom_nodes", "input", "output", "temp", "user", *(f"models/{folder}" for folder in MODEL_FOLDERS)):
        (base / name).mkdir(parents=True, exist_ok=True)
    for name, folder in packs.items():
        _link(Path(folder).resolve(), base / "custom_nodes" / name)
    for folder, files in models.items():
        for name, path in files.items():
            target = base / "models" / folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            _link(Path(path).resolve(), target)
    for name, path in (images or {}).items():
        shutil.copy2(path, base / "input" / name)


def _link(source: Path, target: Path) -> None:
    if target.is_symlink():
        target.unlink()
    elif target.is_dir():
        shutil.rmtree(target)
    try:
        target.symlink_to(source, target_is_directory=source.is_dir())
    except (OSError, NotImplementedError):
        if source.is_dir():
            shutil.copytree(source, target, ignore=NOT_PACK)
        else:
            shutil.copy2(source, target)
