"""Concept checkpoint, format 1: one .safetensors file with a UNet in diffusers' names and its description as metadata.

`read_concept` also reads the null-text files of arXiv 2312.08195's authors: a bare state dict as .safetensors, .bin or
.pt, with exactly the network's tensors. Facts that it lacks are inferred and listed in `Concept.assumptions`.
Code inside a pickle is never run.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import ConceptFileError
from .concept import TEXT_EMBEDS, TIME_IDS_NAME, Concept, constant_shapes
from .families import guess_prediction_type, layout_of, shapes_of
from .metadata import DESCRIPTION, FORMAT_KEY, describe, parse, unpack_description
from .null_text import FEATURE
from .prediction_markers import EDM_REMEDY, MARKERS, edm_kind
from .tensor_check import check_tensors
from .tensor_file import open_tensors, tensor_names, write_tensors
from .unet_configs import infer_config
from .world_latents import format_of_channels

EMPTY_PROMPT_IDS = (1024.0, 1024.0, 0.0, 0.0, 1024.0, 1024.0)


def is_concept_file(path: str | os.PathLike[str]) -> bool:
    """True if `read_concept` reads this file: format 1, or a bare null-text UNet. False for ordinary models.

    Raises:
        ConceptFileError: the file is damaged, or a pickle that needs code.
    """
    names, metadata = tensor_names(path)
    described = FORMAT_KEY in metadata or DESCRIPTION in names
    return described or any(name.endswith(f"attn2.{FEATURE}") for name in names)


def read_concept(path: str | os.PathLike[str], config: Mapping[str, Any] | None = None) -> Concept:
    """Read and check a concept file.

    Args:
        path: a format 1 file, or a bare UNet state dict in diffusers' names.
        config: the UNet2DConditionModel configuration of a bare file; inferred by default.

    Raises:
        ConceptFileError: the file is damaged, of another kind or a newer format, a pickle that needs code, or its
            tensors are not exactly those of its network.
    """
    name = Path(path).name
    try:
        return _read(path, name, config)
    except ConceptFileError as error:
        if name in error.name:
            raise
        raise error.of(f"{name}: {error.name}") from error


def _read(path: str | os.PathLike[str], name: str, config: Mapping[str, Any] | None) -> Concept:
    tensors, metadata = open_tensors(path)
    if FORMAT_KEY not in metadata and DESCRIPTION in tensors:
        metadata = unpack_description(name, tensors[DESCRIPTION])
    constants = {key: tensors.pop(key).float() for key in (TEXT_EMBEDS, TIME_IDS_NAME) if key in tensors}
    fields = parse(name, metadata) if FORMAT_KEY in metadata else _inferred(tensors, metadata, config, constants)
    tensors = {key: value for key, value in tensors.items() if key not in (*MARKERS, DESCRIPTION)}
    concept = Concept(
        tensors=tensors, text_embeds=constants.get(TEXT_EMBEDS), time_ids=constants.get(TIME_IDS_NAME), **fields
    )
    check_concept(concept, name)
    return concept


def write_concept(path: str | os.PathLike[str], concept: Concept, extra: Mapping[str, str] | None = None) -> None:
    """Write a format 1 file, all of it or nothing (see `write_tensors`).

    Args:
        path: of the .safetensors file; an existing file is replaced only when the new file is complete.
        concept: checked before anything is written.
        extra: more metadata strings, for example `modelspec.description`; they override our own.

    Raises:
        ConceptFileError: the concept is incomplete, or `path` is not a .safetensors name in an existing folder.
        OSError, SafetensorError: writing failed; an existing file is unchanged.
    """
    check_concept(concept, Path(path).name)
    constants = {key: value.float() for key, value in concept.constants.items()}
    metadata = {**describe(concept, Path(path).stem), **(extra or {})}
    write_tensors(path, {**concept.tensors, **constants}, metadata)


def check_concept(concept: Concept, name: str) -> None:
    """Raise ConceptFileError unless the tensors are exactly those of the network that the configuration describes.

    A null-text SDXL has both constants, another SDXL may have them, other networks have none.
    """
    constants = constant_shapes(concept.config)
    if not concept.null_text:
        constants = {key: shape for key, shape in constants.items() if key in concept.constants}
    check_tensors(name, concept.kind, concept.tensors, shapes_of(concept.config, concept.null_text))
    check_tensors(name, f"{concept.kind}'s set of SDXL constants", concept.constants, constants)


def _inferred(
    tensors: dict[str, Tensor],
    metadata: Mapping[str, str],
    config: Mapping[str, Any] | None,
    constants: dict[str, Tensor],
) -> dict[str, Any]:
    """Infer the fields of a bare state dict, and add default SDXL constants where the file has none."""
    edm = edm_kind(tensors)
    if edm is not None:
        raise ConceptFileError("tensors", "an epsilon or v-prediction model", edm, EDM_REMEDY)
    assumed = []
    null_text = any(key.endswith(f"attn2.{FEATURE}") for key in tensors)
    if config is None:
        config = infer_config({key: tuple(value.shape) for key, value in tensors.items() if key not in MARKERS})
        assumed.append("the network, from the tensors' shapes")
    prediction = guess_prediction_type(config, tensors, metadata)
    assumed.append(f"prediction type {prediction}")
    layout = layout_of(config)
    latent_format = format_of_channels(layout.out_channels)
    if latent_format:
        assumed.append(f"latent format {latent_format}, a small world's of {layout.out_channels} channels")
    pooled = layout.pooled_dim
    if null_text and pooled:
        if TEXT_EMBEDS not in constants:
            constants[TEXT_EMBEDS] = torch.zeros(1, pooled)
            assumed.append("a pooled text vector of zeros, as diffusers uses for an empty prompt")
        if TIME_IDS_NAME not in constants:
            constants[TIME_IDS_NAME] = torch.tensor([EMPTY_PROMPT_IDS])
            assumed.append("size ids of 1024 x 1024, uncropped")
    return {
        "config": config,
        "kind": "null-text-unet" if null_text else "unet",
        "prediction_type": prediction,
        "zero_terminal_snr": "ztsnr" in tensors,
        "latent_format": latent_format,
        "assumptions": tuple(assumed),
    }
