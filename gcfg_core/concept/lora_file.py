"""LoRA concept files: ordinary LoRAs for every program that reads LoRAs, null-text concepts for Load Concept Model.

Format 2 stores three tensors for each adapted layer of the UNet (LAYER is its name in diffusers, with _ for every dot).
ComfyUI's LoRA loaders, diffusers' `load_lora_weights` and other programs read them:

    lora_unet_LAYER.lora_down.weight    A, [rank, in] or [rank, in, kh, kw]
    lora_unet_LAYER.lora_up.weight      B, [out, rank] or [out, rank, 1, 1]
    lora_unet_LAYER.alpha               0-d float32; readers use the rank if it is missing

diffusers refuses a file with any other tensor, so the constants are in the metadata: `gcfg.constants` is a safetensors
file in base64, with every `...attn2.null_text_feature` and SDXL's constants. Format 1 (version 0.1.0) had PEFT's names
for the factors and stored the constants as tensors; it is still read, but no longer written.
"""

import base64
import binascii
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from ..errors import ConceptFileError, some
from .concept import TEXT_EMBEDS, TIME_IDS_NAME
from .families import shapes_of
from .kinds import NULL_TEXT_LORA
from .lora import DOWN, UP, LoraConcept, check_lora_concept
from .metadata import FORMAT_KEY, KIND_KEY, describe, major_of, parse
from .null_text import FEATURE
from .tensor_check import AGAIN
from .tensor_file import open_tensors, tensor_names, write_tensors

LORA_FORMAT = 2
RANK_KEY, ALPHA_KEY, CONSTANTS_KEY = "gcfg.lora_rank", "gcfg.lora_alpha", "gcfg.constants"
PREFIX, ALPHA = "lora_unet_", ".alpha"
SUFFIXES = {DOWN: ".lora_down.weight", UP: ".lora_up.weight"}  # PEFT's, as in a `LoraConcept` -> the file's
# Layers that diffusers knows only by Stability AI's names.
RENAMED = {"add_embedding.linear_1": "label_emb.0.0", "add_embedding.linear_2": "label_emb.0.2"}


def is_lora_concept(path: str | os.PathLike[str]) -> bool:
    """True if `read_lora_concept` reads this file.

    Raises:
        ConceptFileError: the file is damaged.
    """
    return lora_format(path) > 0


def lora_format(path: str | os.PathLike[str]) -> int:
    """Return the format of a LoRA concept file; 0 for every other file.

    Raises:
        ConceptFileError: the file is damaged.
    """
    metadata = tensor_names(path)[1]
    return major_of(metadata.get(FORMAT_KEY, "")) if metadata.get(KIND_KEY) == NULL_TEXT_LORA.name else 0


def read_lora_concept(path: str | os.PathLike[str]) -> LoraConcept:
    """Read and check a LoRA concept file of either format.

    Raises:
        ConceptFileError: the file is not a LoRA concept, damaged, of a newer format, or its tensors are not those of a
            LoRA on its network.
    """
    name = Path(path).name
    tensors, metadata = open_tensors(path)
    if metadata.get(KIND_KEY) != NULL_TEXT_LORA.name or FORMAT_KEY not in metadata:
        got = repr(metadata.get(KIND_KEY, ""))
        raise ConceptFileError(f"{name}: {KIND_KEY}", NULL_TEXT_LORA.name, got, "Give a LoRA concept.")
    fields = parse(name, metadata, (NULL_TEXT_LORA.name,), LORA_FORMAT)
    del fields["kind"]
    rank, alpha = _rank(name, metadata), _alpha(name, metadata)
    if major_of(metadata[FORMAT_KEY]) == 1:
        constants = {key: tensors.pop(key) for key in list(tensors) if _is_constant(key)}
        factors = tensors
    else:
        constants = _unpacked(name, metadata)
        layers = _layers(shapes_of(fields["config"], null_text=True))
        factors = _factors(name, tensors, layers, alpha)
    embeds, ids = (constants.pop(key, None) for key in (TEXT_EMBEDS, TIME_IDS_NAME))
    lora = LoraConcept(
        factors, constants, rank=rank, alpha=alpha, text_embeds=None if embeds is None else embeds.float(),
        time_ids=None if ids is None else ids.float(), **fields,
    )  # fmt: skip
    check_lora_concept(lora, name)
    return lora


def write_lora_concept(path: str | os.PathLike[str], lora: LoraConcept, extra: Mapping[str, str] | None = None) -> None:
    """Write a LoRA concept file of format 2, all of it or nothing (see `write_tensors`).

    Args:
        path: of the .safetensors file; an existing file is replaced only when the new file is complete.
        lora: checked before anything is written.
        extra: more metadata strings; they override our own.

    Raises:
        ConceptFileError: the concept is incomplete, or ``path`` is not a .safetensors name in an existing folder.
        OSError, SafetensorError: writing failed; an existing file is unchanged.
    """
    check_lora_concept(lora, Path(path).name)
    bare = lora.with_tensors({}, lora.kind)
    constants = {**lora.features, **{key: value.float() for key, value in bare.constants.items()}}
    metadata = describe(bare, Path(path).stem)
    metadata |= {FORMAT_KEY: str(LORA_FORMAT), RANK_KEY: str(lora.rank), ALPHA_KEY: repr(float(lora.alpha))}
    metadata |= {CONSTANTS_KEY: _packed(constants), **(extra or {})}
    write_tensors(path, _named(lora), metadata)


def _named(lora: LoraConcept) -> dict[str, Tensor]:
    """Return the tensors under their names in the file."""
    tensors = {}
    for layer in lora.layers:
        stem = _stem(layer)
        tensors |= {f"{stem}{suffix}": lora.factors[layer + own] for own, suffix in SUFFIXES.items()}
        tensors[f"{stem}{ALPHA}"] = torch.tensor(float(lora.alpha))
    return tensors


def _stem(layer: str) -> str:
    return PREFIX + RENAMED.get(layer, layer).replace(".", "_")


def _layers(names: Iterable[str]) -> dict[str, str]:
    """Map the prefix of a layer's tensors in the file to the layer's path, for each layer that has a weight."""
    layers = [name.removesuffix(".weight") for name in names if name.endswith(".weight")]
    stems = {_stem(layer): layer for layer in layers}
    assert len(stems) == len(layers), "two layers of one name"
    return stems


def _factors(name: str, tensors: Mapping[str, Tensor], layers: Mapping[str, str], alpha: float) -> dict[str, Tensor]:
    """Rename the factors to PEFT's names; a tensor of an unknown layer keeps its name, so that the check refuses it."""
    own = {theirs: ours for ours, theirs in SUFFIXES.items()}
    factors = {}
    for key, value in tensors.items():
        stem, dot, rest = key.partition(".")
        suffix = own.get(dot + rest)
        if stem not in layers or suffix is None and dot + rest != ALPHA:
            factors[key] = value
        elif suffix is not None:
            factors[layers[stem] + suffix] = value
    for stem in {key.partition(".")[0] for key in tensors} & set(layers):
        _check_alpha(name, stem + ALPHA, tensors.get(stem + ALPHA), alpha)
    return factors


def _check_alpha(name: str, key: str, value: Tensor | None, alpha: float) -> None:
    """Raise ConceptFileError unless a layer's alpha equals the file's."""
    if value is None:
        raise ConceptFileError.saying(name, f"The file lacks tensor {key}. {AGAIN}")
    if value.numel() != 1 or not torch.isclose(value.double(), torch.tensor(alpha).double(), rtol=1e-3).all():
        got = f"{float(value.flatten()[0]):g}" if value.numel() == 1 else f"shape {list(value.shape)}"
        raise ConceptFileError(f"{name}: {key}", f"{alpha:g} as in {ALPHA_KEY}", got, AGAIN)


def _is_constant(key: str) -> bool:
    return key.endswith(f".{FEATURE}") or key in (TEXT_EMBEDS, TIME_IDS_NAME)


def _packed(constants: Mapping[str, Tensor]) -> str:
    """Pack tensors into one metadata string: a safetensors file in base64."""
    plain = {key: value.detach().cpu().contiguous().clone() for key, value in constants.items()}
    return base64.b64encode(save(plain)).decode()


def _unpacked(name: str, metadata: Mapping[str, str]) -> dict[str, Tensor]:
    """Return the tensors that `_packed` packed; refuse a tensor that is not a constant."""
    try:
        constants = load(base64.b64decode(metadata.get(CONSTANTS_KEY, ""), validate=True))
    except (binascii.Error, ValueError, SafetensorError) as error:
        reason = f"cannot be read ({error})" if metadata.get(CONSTANTS_KEY) else "are missing"
        text = f"The null-text constants {reason}. {AGAIN}"
        raise ConceptFileError.saying(f"{name}: {CONSTANTS_KEY}", text) from None
    foreign = sorted(key for key in constants if not _is_constant(key))
    if foreign:
        raise ConceptFileError(f"{name}: {CONSTANTS_KEY}", "only the null-text constants", some(foreign), AGAIN)
    return constants


def _rank(name: str, metadata: Mapping[str, str]) -> int:
    text = metadata.get(RANK_KEY, "")
    if not text.isdecimal() or int(text) < 1:
        raise ConceptFileError(f"{name}: {RANK_KEY}", "a whole number from 1", repr(text), AGAIN)
    return int(text)


def _alpha(name: str, metadata: Mapping[str, str]) -> float:
    text = metadata.get(ALPHA_KEY, "")
    try:
        alpha = float(text)
    except ValueError:
        alpha = math.nan
    if not math.isfinite(alpha):
        raise ConceptFileError(f"{name}: {ALPHA_KEY}", "a number", repr(text), AGAIN)
    return alpha
