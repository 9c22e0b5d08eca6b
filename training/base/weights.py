"""Tensors of a model: find its files, read them without running code, and put them into a module."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gcfg_core.concept_error import ConceptFileError, some
from gcfg_core.input_error import InputError
from gcfg_core.tensor_file import open_tensors

STEMS = ("diffusion_pytorch_model", "model", "pytorch_model")
PATTERNS = ("{stem}{suffix}", "{stem}{suffix}.index.json", "{stem}.fp16{suffix}", "{stem}{suffix}.index.fp16.json")
AGAIN = "Copy or download it again."


@contextmanager
def as_input_error(name: str) -> Iterator[None]:
    """Let what gcfg_core refuses be an InputError that begins with ``name``."""
    try:
        yield
    except ConceptFileError as error:
        what = error.name if name in error.name else f"{name}: {error.name}"
        raise InputError(what, error.expected, error.got, error.remedy) from error


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file.

    Raises:
        InputError: no such file, or no JSON object in it.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(str(path), "a JSON file", "nothing there", "Is the folder complete? " + AGAIN) from None
    except (ValueError, OSError):
        value = None
    if not isinstance(value, dict):
        raise InputError(str(path), "a JSON object", "something else", AGAIN)
    return value


def folder_tensors(folder: Path) -> dict[str, Tensor]:
    """Every tensor of a model folder as diffusers and transformers save it: whole or in shards, .safetensors before
    .bin, full precision before fp16. Pickles are read with weights_only=True.

    Raises:
        InputError: no weights, a damaged file, a missing shard, or a pickle that needs code.
    """
    tensors: dict[str, Tensor] = {}
    for path in _weight_files(folder):
        with as_input_error(str(path)):
            tensors |= open_tensors(path)[0]
    return tensors


def _weight_files(folder: Path) -> list[Path]:
    for suffix in (".safetensors", ".bin"):
        for stem in STEMS:
            for pattern in PATTERNS:
                path = folder / pattern.format(stem=stem, suffix=suffix)
                if path.is_file():
                    return _shards(path) if path.suffix == ".json" else [path]
    expected = f"weights such as {STEMS[0]}.safetensors"
    raise InputError(str(folder), expected, "none", "Is the folder complete? " + AGAIN)


def _shards(index: Path) -> list[Path]:
    names = read_json(index).get("weight_map")
    if not isinstance(names, dict) or not names:
        raise InputError(str(index), "a weight_map", "none", AGAIN)
    return sorted({index.parent / Path(str(name)).name for name in names.values()})


def fill(module: nn.Module, tensors: Mapping[str, Tensor], name: str) -> nn.Module:
    """Give a module, which may stand on the meta device, float32 copies of its tensors; eval mode.

    Args:
        module: whose state dict names exactly what it needs.
        tensors: of any floating point type.
        name: of the file or folder, for messages.

    Raises:
        InputError: a tensor is missing, unknown or of another shape.
    """
    expected = module.state_dict()
    kind = type(module).__name__
    for names, what in ((set(expected) - set(tensors), "missing"), (set(tensors) - set(expected), "unknown")):
        if names:
            remedy = "It is incomplete or another kind of model. " + AGAIN
            raise InputError(name, f"the tensors of its {kind}", f"{what} {some(sorted(names))}", remedy)
    for key, value in expected.items():
        if tensors[key].shape != value.shape:
            got = f"shape {list(tensors[key].shape)}"
            raise InputError(name, f"{key} of shape {list(value.shape)}", got, "Its configuration is another's.")
        if not tensors[key].is_floating_point():
            remedy = "Quantized models cannot be trained; give the original."
            raise InputError(name, f"{key} of a floating point type", str(tensors[key].dtype), remedy)
    module.load_state_dict({key: tensors[key].to(torch.float32, copy=True) for key in expected}, assign=True)
    return module.eval()
