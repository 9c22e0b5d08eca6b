"""Find a model's weight files, read them without running code, and load them into a module."""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gcfg_core.concept.tensor_check import check_tensors
from gcfg_core.concept.tensor_file import open_tensors
from gcfg_core.errors import ConceptFileError, InputError

from .single_file_kind import refuse_quantized

STEMS = ("diffusion_pytorch_model", "model", "pytorch_model")
SUFFIXES = (r"\.safetensors", r"\.bin")
# Names of a model's single file or of its shard index, with the variant; in order of preference.
FILES = [
    re.compile(form.format(stem=stem, variant=r"(\.(?P<variant>[\w-]+))?", suffix=suffix))
    for suffix in SUFFIXES
    for stem in STEMS
    for form in (r"{stem}{variant}{suffix}", r"{stem}{suffix}\.index{variant}\.json")
]
# Variants in order of preference if there are no plain weights; unknown variants come before the last.
VARIANTS, LAST_VARIANT = ("fp32", "fp16", "bf16"), "non_ema"
SHARD = re.compile(r"-\d{5}-of-\d{5}")
AGAIN = "Copy or download it again."


@contextmanager
def as_input_error(name: str) -> Iterator[None]:
    """Raise errors of gcfg_core as InputErrors that begin with ``name``."""
    try:
        yield
    except ConceptFileError as error:
        what = error.name if name in error.name else f"{name}: {error.name}"
        raise InputError(what, error.expected, error.got, error.remedy) from error


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object from a file.

    Raises:
        InputError: the file is missing, or is not a JSON object.
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


def folder_tensors(folder: Path, variant: str) -> dict[str, Tensor]:
    """Read every tensor of a model folder as diffusers and transformers save it: single file or shards, .safetensors
    before .bin. Pickles are read with weights_only=True.

    Args:
        folder: of a single model.
        variant: from `folder_variants`.

    Raises:
        InputError: a file is damaged, a shard is missing, a pickle needs code, or weights are quantized or not finite.
    """
    tensors: dict[str, Tensor] = {}
    whole = _weight_files(folder)[variant]
    for path in _shards(whole) if whole.suffix == ".json" else [whole]:
        with as_input_error(str(path)):
            tensors |= open_tensors(path)[0]
    refuse_quantized(str(folder), list(tensors))
    check_finite(tensors, str(folder))
    return tensors


def folder_variants(folder: Path) -> list[str]:
    """List the variants of a model folder's weights, the preferred first; "" for files without a variant's name.

    Raises:
        InputError: the folder has no weights.
    """
    found = _weight_files(folder)
    if not found:
        expected = f"weights, for example {STEMS[0]}.safetensors"
        raise InputError(str(folder), expected, "none", "Is the folder complete? " + AGAIN)
    order = ("", *VARIANTS, *sorted(set(found) - {"", *VARIANTS, LAST_VARIANT}), LAST_VARIANT)
    return [variant for variant in order if variant in found]


def check_finite(tensors: Mapping[str, Tensor], name: str) -> None:
    """Raise InputError at the first tensor with NaN or infinity; the message says how many values."""
    for key, value in tensors.items():
        if not value.is_floating_point() or value.numel() == 0:
            continue
        checked = value if value.element_size() > 1 else value.float()
        if checked.sum(dtype=torch.float32).isfinite():  # NaN and infinity propagate to the sum: one pass, no copy
            continue
        broken = int((~checked.isfinite()).sum())
        if broken:
            got = f"{broken} of {value.numel()} NaN or infinite in {key}"
            raise InputError(name, "finite numbers", got, "The file is damaged, or its training broke. " + AGAIN)


def _weight_files(folder: Path) -> dict[str, Path]:
    """Map each variant to its file, or to the index of its shards."""
    found: dict[str, Path] = {}
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    for pattern in FILES:
        for name in names:
            match = pattern.fullmatch(name)
            if match is not None and not SHARD.search(name):
                found.setdefault(match["variant"] or "", folder / name)
    return found


def _shards(index: Path) -> list[Path]:
    names = read_json(index).get("weight_map")
    if not isinstance(names, dict) or not names:
        raise InputError(str(index), "a weight_map", "none", AGAIN)
    return sorted({index.parent / Path(str(name)).name for name in names.values()})


def fill(module: nn.Module, tensors: Mapping[str, Tensor], name: str) -> nn.Module:
    """Load float32 copies of tensors into a module, which may be on the meta device; set eval mode.

    Args:
        module: its state dict names exactly the needed tensors.
        tensors: of any floating point type.
        name: of the file or folder, for messages.

    Raises:
        InputError: a tensor is missing, unknown, quantized or has another shape.
    """
    shapes = {key: tuple(value.shape) for key, value in module.state_dict().items()}
    remedy = f"It is incomplete, another kind of model, or its configuration is another model's. {AGAIN}"
    check_tensors(name, type(module).__name__, tensors, shapes, remedy)
    module.load_state_dict({key: tensors[key].to(torch.float32, copy=True) for key in shapes}, assign=True)
    return module.eval()
