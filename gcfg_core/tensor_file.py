"""Open a file of tensors without running any code that may be in it."""

import os
import pickle
import pickletools
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from .concept_error import ConceptFileError

SAFETENSORS = (".safetensors", ".sft")
EXTENSIONS = (*SAFETENSORS, ".bin", ".pt", ".pth", ".ckpt")
# How torch's weights-only unpickler says that it met a class or a function, as against damage.
CODE = re.compile(r"not an allowed global|is blocked|must be \S+ to load|Can only (build|create)|call reduce")
DAMAGED = "The file is incomplete or damaged; copy or download it again."


def open_tensors(path: str | os.PathLike[str]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Every tensor of a file (memory mapped where the format allows) and its metadata strings.

    Args:
        path: .safetensors or .sft, or a torch.save file, read with weights_only=True.

    Raises:
        ConceptFileError: no such file, damaged, no state dict, or a pickle that needs code.
    """
    if Path(path).suffix.lower() not in SAFETENSORS:
        return _state_dict(path), {}
    with _safetensors(path) as handle:
        return {key: handle.get_tensor(key) for key in handle.keys()}, handle.metadata() or {}  # noqa: SIM118


def tensor_names(path: str | os.PathLike[str]) -> tuple[list[str], dict[str, str]]:
    """The names of a file's tensors and its metadata strings; a .safetensors file's tensors are not read."""
    if Path(path).suffix.lower() not in SAFETENSORS:
        return list(_state_dict(path)), {}
    with _safetensors(path) as handle:
        return list(handle.keys()), handle.metadata() or {}


def _safetensors(path: str | os.PathLike[str]) -> Any:
    name = Path(path).name
    try:
        return safe_open(str(path), framework="pt", device="cpu")
    except FileNotFoundError:
        raise _absent(path) from None
    except (SafetensorError, OSError, ValueError) as error:
        raise ConceptFileError(name, "a whole .safetensors file", str(error).splitlines()[0], DAMAGED) from error


def _state_dict(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    name = Path(path).name
    if not os.path.isfile(path):
        raise _absent(path)
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError, IndexError) as error:
        if CODE.search(str(error)) or _whole_pickle(path):
            raise ConceptFileError(
                name, "tensors alone", "a pickle that needs code to be run",
                "It was not run. Ask its author for a .safetensors file, or convert it where you trust it.",
            ) from error  # fmt: skip
        raise ConceptFileError(name, "a whole file of tensors", type(error).__name__, DAMAGED) from error
    tensors = _unwrapped(loaded)
    if not tensors or not all(isinstance(key, str) for key in tensors):
        raise ConceptFileError(name, "a state dict of tensors", type(loaded).__name__, "Give the UNet's state dict.")
    return tensors


def _whole_pickle(path: str | os.PathLike[str]) -> bool:
    """Whether the file is an undamaged plain pickle, which torch then refused for what it asks for."""
    try:
        with open(path, "rb") as handle:
            return sum(1 for _ in pickletools.genops(handle)) > 0  # to the end, or it raises
    except (ValueError, OSError):
        return False


def _unwrapped(loaded: object) -> dict[str, Tensor]:
    """The state dict itself, also from {"state_dict": ...}; empty where there is none."""
    if isinstance(loaded, Mapping) and isinstance(loaded.get("state_dict"), Mapping):
        loaded = loaded["state_dict"]
    if not isinstance(loaded, Mapping):
        return {}
    return {key: value for key, value in loaded.items() if isinstance(value, Tensor)}


def _absent(path: str | os.PathLike[str]) -> ConceptFileError:
    return ConceptFileError(str(path), "a file", "nothing there", "Check the name, and that the file was not moved.")
