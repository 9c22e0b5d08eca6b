"""The metadata of a concept file: strings that describe its tensors (safetensors stores only strings).

`modelspec.*` follows Stability AI's ModelSpec 1.0.0, which other tools display; `gcfg.*` is our own.
"""

import json
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

import torch
from torch import Tensor

from ..errors import ConceptFileError
from .concept import Concept
from .families import ARCHITECTURES, FAMILIES, architecture_of
from .kinds import KINDS, NULL_TEXT_LORA, WHOLE

FORMAT = 1
FORMAT_KEY, KIND_KEY = "gcfg.format", "gcfg.kind"
DESCRIPTION = "gcfg.description"  # a tensor that holds the metadata, for files that another program writes (Save Model)
PREDICTION_TYPES = {"epsilon": "epsilon", "v_prediction": "v"}  # our name -> ModelSpec's name
REWRITE = "The file's metadata does not follow its format; export the concept again."


def describe(concept: Concept, title: str) -> dict[str, str]:
    """Return the metadata strings of a concept; `title` is used if the concept has no title."""
    architecture = concept.architecture
    kind = KINDS[concept.kind]
    return {
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.architecture": f"{_modelspec_name(architecture, concept.prediction_type)}/{kind.modelspec}",
        "modelspec.implementation": "diffusers",
        "modelspec.title": concept.title or title,
        "modelspec.date": datetime.now(timezone.utc).replace(microsecond=0, tzinfo=None).isoformat(),
        "modelspec.prediction_type": PREDICTION_TYPES[concept.prediction_type],
        FORMAT_KEY: str(FORMAT),
        KIND_KEY: concept.kind,
        "gcfg.architecture": architecture,
        "gcfg.unet_config": json.dumps(dict(concept.config), sort_keys=True),
        "gcfg.prediction_type": concept.prediction_type,
        "gcfg.zero_terminal_snr": "true" if concept.zero_terminal_snr else "false",
        "gcfg.latent_format": concept.latents,
        **({"gcfg.vae": concept.vae} if concept.vae else {}),
        "gcfg.base": concept.base,
        "gcfg.training": json.dumps(dict(concept.training), sort_keys=True),
    }


def _modelspec_name(architecture: str, prediction_type: str) -> str:
    """Return ModelSpec's name of a public model, with "-v" after it for v-prediction that ModelSpec does not list."""
    if architecture not in FAMILIES:
        return architecture
    names = FAMILIES[architecture].modelspec
    return names.get(prediction_type) or f"{names['epsilon']}-{PREDICTION_TYPES[prediction_type]}"


def parse(
    name: str, metadata: Mapping[str, str], kinds: tuple[str, ...] = WHOLE, newest: int = FORMAT
) -> dict[str, Any]:
    """Read the fields of a `Concept` from a concept file's metadata.

    Args:
        name: of the file, for messages.
        metadata: the file's strings.
        kinds: those that the caller can use.
        newest: the newest known format of these kinds.

    Raises:
        ConceptFileError: a newer format, a kind that the caller cannot use, or a value that the format does not allow.
    """
    kind = metadata.get(KIND_KEY, "")
    if kind == NULL_TEXT_LORA.name and kind not in kinds:
        raise ConceptFileError(
            f"{name}: {KIND_KEY}", " or ".join(kinds), kind,
            "A LoRA concept is not a whole network: use it together with its base model.",
        )  # fmt: skip
    _check_format(name, metadata[FORMAT_KEY], newest)
    _one_of(name, KIND_KEY, kind, kinds)
    config = _json(name, "gcfg.unet_config", metadata)
    architecture = metadata.get("gcfg.architecture", "")
    _one_of(name, "gcfg.architecture", architecture, ARCHITECTURES)
    if architecture != "custom" and architecture_of(config) != architecture:
        text = f"This is not the network of {architecture}. {REWRITE}"
        raise ConceptFileError.saying(f"{name}: gcfg.unet_config", text)
    prediction = metadata.get("gcfg.prediction_type", "")
    _one_of(name, "gcfg.prediction_type", prediction, tuple(PREDICTION_TYPES))
    zero_snr = metadata.get("gcfg.zero_terminal_snr", "false")
    _one_of(name, "gcfg.zero_terminal_snr", zero_snr, ("true", "false"))
    return {
        "config": config,
        "kind": kind,
        "prediction_type": prediction,
        "zero_terminal_snr": zero_snr == "true",
        "latent_format": metadata.get("gcfg.latent_format", ""),
        "vae": metadata.get("gcfg.vae", ""),
        "base": metadata.get("gcfg.base", ""),
        "training": _json(name, "gcfg.training", metadata) if metadata.get("gcfg.training") else {},
        "title": metadata.get("modelspec.title", ""),
    }


def pack_description(metadata: Mapping[str, str]) -> Tensor:
    """Pack the metadata strings into one uint8 tensor, for programs that keep tensors but drop metadata."""
    return torch.tensor(list(json.dumps(dict(metadata)).encode()), dtype=torch.uint8)


def unpack_description(name: str, packed: Tensor) -> dict[str, str]:
    """Return the strings that `pack_description` packed."""
    text = bytes(packed.flatten().tolist()).decode(errors="replace")
    metadata = _json(name, DESCRIPTION, {DESCRIPTION: text})
    if FORMAT_KEY not in metadata:
        raise ConceptFileError.saying(f"{name}: {DESCRIPTION}", f"{FORMAT_KEY} is missing. {REWRITE}")
    return metadata


def major_of(version: str) -> int:
    """Return the major number of a format version; 0 if the text is not a version."""
    major = version.split(".")[0]
    return int(major) if major.isdecimal() else 0


def _check_format(name: str, version: str, newest: int) -> None:
    if major_of(version) < 1:
        raise ConceptFileError(f"{name}: {FORMAT_KEY}", str(newest), repr(version), REWRITE)
    if major_of(version) > newest:
        raise ConceptFileError(
            f"{name}: {FORMAT_KEY}", f"format {newest}", f"the newer format {version}",
            "Update this node pack: the file was made by a later version of it.",
        )  # fmt: skip


def _one_of(name: str, key: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ConceptFileError(f"{name}: {key}", " or ".join(allowed), repr(value), REWRITE)


def _json(name: str, key: str, metadata: Mapping[str, str]) -> dict[str, Any]:
    text = metadata.get(key, "")
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise ConceptFileError(f"{name}: {key}", "a JSON object", repr(text[:40]), REWRITE)
    return value
