"""Load a file as a MODEL: concept files with our own reader, every other model with ComfyUI's."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import comfy.sd
import torch

from ...gcfg_core.concept.concept_file import is_concept_file, read_concept
from ...gcfg_core.concept.file_kinds import kind_of
from ...gcfg_core.concept.lora_file import is_lora_concept, read_lora_concept
from ...gcfg_core.concept.tensor_file import tensor_names
from ...gcfg_core.errors import ConceptFileError
from .concept_model import build_concept_model
from .lora_concept_model import apply_lora_concept

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher

# The choices of ComfyUI's own Load Diffusion Model, and its options for each.
WEIGHT_DTYPES: dict[str, dict[str, Any]] = {
    "default": {},
    "fp8_e4m3fn": {"dtype": torch.float8_e4m3fn},
    "fp8_e4m3fn_fast": {"dtype": torch.float8_e4m3fn, "fp8_optimizations": True},
    "fp8_e5m2": {"dtype": torch.float8_e5m2},
}


def load_model_file(path: str, weight_dtype: str = "default", base_model: ModelPatcher | None = None) -> ModelPatcher:
    """Load a format 1 file, a null-text file of arXiv 2312.08195's authors, or any ordinary diffusion model.

    Args:
        base_model: the model that a LoRA concept was trained from; other files do not need it.

    Raises:
        ConceptFileError: the file cannot be used; the message says why and what to do.
    """
    if is_lora_concept(path):
        return _load_lora_concept(path, base_model)
    if is_concept_file(path):
        return load_concept_file(path, weight_dtype)
    try:
        return comfy.sd.load_diffusion_model(path, model_options=dict(WEIGHT_DTYPES[weight_dtype]))
    except RuntimeError as error:
        if "Could not detect model type" not in str(error):
            raise
        raise _no_model(path) from error


def _no_model(path: str) -> ConceptFileError:
    """Return the error for a file that is not a diffusion model; it names the kind of file."""
    kind = kind_of(tensor_names(path)[0])
    got, remedy = "a file", "Choose a UNet or diffusion model, not a VAE, a text encoder or a LoRA."
    if kind is not None:
        got, remedy = kind.name, kind.remedy
    expected = "a diffusion model or a concept"
    return ConceptFileError(Path(path).name, expected, f"{got} that ComfyUI does not recognise as a model", remedy)


def _load_lora_concept(path: str, base_model: ModelPatcher | None) -> ModelPatcher:
    lora, name = read_lora_concept(path), Path(path).name
    if base_model is None:
        base = lora.base or "not named in the file"
        raise ConceptFileError.saying(
            f"base_model for {name}",
            f"This file is a LoRA concept and needs its base model. Load the model it was trained from ({base}) and "
            "connect it.",
        )
    return apply_lora_concept(base_model, lora, name)


def load_concept_file(path: str, weight_dtype: str = "default", disable_dynamic: bool = False) -> ModelPatcher:
    """Load a MODEL from a concept file; newer ComfyUI versions call it again for a second, independent copy."""
    concept = read_concept(path)
    for assumption in concept.assumptions:
        logging.info("GCFG: %s does not describe itself; assumed: %s", Path(path).name, assumption)
    options = WEIGHT_DTYPES[weight_dtype]
    patcher = build_concept_model(
        concept, options.get("dtype"), bool(options.get("fp8_optimizations")), dynamic=not disable_dynamic
    )
    patcher.cached_patcher_init = (load_concept_file, (path, weight_dtype))
    return patcher
