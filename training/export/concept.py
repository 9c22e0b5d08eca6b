"""Build a concept from a trained state and write its file."""

import base64
import dataclasses
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from gcfg_core.concept.concept import Concept
from gcfg_core.concept.families import layout_of, shapes_of
from gcfg_core.concept.forms import AnyConcept, form_of
from gcfg_core.concept.kinds import NULL_TEXT_UNET, TEXT_UNET
from gcfg_core.concept.lora import LoraConcept
from gcfg_core.concept.null_text import FEATURE
from gcfg_core.errors import InputError

from ..base.model import Base
from ..device import DTYPES
from ..durable import write_bytes
from .card import CARD, card_text, may_replace
from .facts import TrainingFacts, base_line

RESERVED = ("constants",)  # other .safetensors files in a run's folder
NETWORK = "unet."  # prefix of the UNet's tensors in a trained module
USAGE = "ComfyUI: put it into models/gcfg_concepts and choose it in Load Concept Model."
SIDE = 256  # pixels of the longer side
QUALITY = 85


def concept_of(
    base: Base, state: Mapping[str, Tensor], facts: TrainingFacts, *, null_text: bool = True, title: str = ""
) -> Concept:
    """Return a full UNet as a concept.

    Args:
        base: the base that it was trained from; supplies everything but the weights. state: the trained UNet's tensors
        in diffusers' names, with or without the prefix "unet."; tensors of other parts
            of the trained module are ignored.
        facts: facts about the run.
        null_text: True if constants replace its cross-attention.
        title: name for people.

    Raises:
        InputError: a tensor of the network is missing.
    """
    named = _unet_tensors(state)
    expected = shapes_of(base.config, null_text)
    missing = sorted(set(expected) - set(named))
    if missing:
        raise InputError("trained state", "every tensor of the UNet", f"no {missing[0]}",
                         "Give the full UNet: trained and frozen tensors.")  # fmt: skip
    kind = (NULL_TEXT_UNET if null_text else TEXT_UNET).name
    return Concept({key: named[key] for key in expected}, base.config, kind, title=title, training=facts.as_json(),
                   **described(base))  # fmt: skip


def lora_concept_of(
    base: Base, state: Mapping[str, Tensor], facts: TrainingFacts, *, rank: int, alpha: float, title: str = ""
) -> LoraConcept:
    """Return a LoRA as a concept.

    Args:
        base, facts, title: as for `concept_of`.
        state: the factors under PEFT's names, with or without the adapter's name ("default"), and every
            `null_text_feature`; other tensors, for example of frozen layers, are ignored.
        rank, alpha: of every layer.
    """
    named = {key.replace(".default.", "."): value for key, value in _unet_tensors(state).items()}
    factors = {key: value for key, value in named.items() if ".lora_" in key}
    features = {key: value for key, value in named.items() if key.endswith(f".{FEATURE}")}
    return LoraConcept(
        factors, features, base.config, rank, alpha, title=title, training=facts.as_json(), **described(base)
    )


def as_dtype(concept: AnyConcept, name: str = "fp16") -> AnyConcept:
    """Convert a concept's weights to another precision; SDXL's constants are unchanged.

    Raises:
        InputError: the precision is unknown, or a weight is not finite in it.
    """
    if name not in DTYPES:
        raise InputError("dtype", " or ".join(DTYPES), repr(name), "Most programs expect fp16.")
    changes = {field: _cast(getattr(concept, field), name) for field in form_of(concept).weights}
    return dataclasses.replace(concept, **changes)


def export_run(
    folder: Path,
    concept: AnyConcept,
    facts: TrainingFacts,
    *,
    name: str = "",
    dtype: str = "fp16",
    thumbnail: Image.Image | None = None,
    description: str = "",
    author: str = "",
    license_line: str = "",
    card: str = CARD,
) -> tuple[Path, Path | None]:
    """Write a concept file and its model card, each completely or not at all.

    An existing file in the card's place is kept if it is not a generated card, or if its blank is filled in and no
    licence is given.

    Args:
        folder: an existing folder, for example a run's.
        concept: from `concept_of` or `lora_concept_of`.
        facts: the same as in the concept.
        name: file name without .safetensors; default: made from the title. "-concept" is appended to a name that the
            run's own files have.
        dtype: "fp16", "bf16" or "fp32".
        thumbnail: a sample picture, for programs that show it.
        description, author, license_line: texts for people; empty texts are omitted, or become a blank to fill in.
        card: file name of the model card.

    Returns:
        Path of the concept file, and path of the card or None if it was not written.

    Raises:
        InputError: a weight is not finite in this precision.
        ConceptFileError: the concept is incomplete.
        OSError, SafetensorError: writing failed.
    """
    name = name or file_name(concept.title)
    path = concept_path(folder, name)
    extra = _modelspec(facts, thumbnail, description, author, license_line)
    written = as_dtype(concept, dtype)
    form_of(written).write(path, written, extra)
    if not may_replace(folder / card, bool(license_line)):
        return path, None
    text = card_text(written, facts, path.name, dtype, description, author, license_line)
    write_bytes(folder / card, text.encode())
    return path, folder / card


def concept_path(folder: Path, name: str) -> Path:
    """Return the path that `export_run` writes for a name."""
    return folder / f"{name}{'-concept' if name.lower() in RESERVED else ''}.safetensors"


def file_name(title: str) -> str:
    """Make a file name from a title: letters, digits, dots and dashes; "concept" if nothing remains."""
    kept = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in title)
    return "-".join(part for part in kept.strip("-. ").split("-") if part) or "concept"


def _unet_tensors(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    inside = {key.removeprefix(NETWORK): value for key, value in state.items() if key.startswith(NETWORK)}
    return inside or dict(state)


def described(base: Base) -> dict[str, Any]:
    """Return the fields that every kind of concept takes from its base."""
    pooled = layout_of(base.config).pooled_dim is not None
    return {
        "prediction_type": base.schedule.prediction_type,
        "zero_terminal_snr": base.schedule.zero_terminal_snr,
        "latent_format": base.latent_format,
        "vae": base.vae,
        "base": base_line(base),
        "text_embeds": base.null.pooled if pooled else None,
        "time_ids": base.null.time_ids if pooled else None,
    }


def _cast(tensors: Mapping[str, Tensor], dtype: str) -> dict[str, Tensor]:
    cast = {key: value.detach().to(DTYPES[dtype]) for key, value in tensors.items()}
    odd = next((key for key, value in cast.items() if not torch.isfinite(value).all()), None)
    if odd is not None:
        remedy = "Export as fp32." if torch.isfinite(tensors[odd]).all() else "The training diverged; use less lr."
        raise InputError(odd, f"finite numbers in {dtype}", "NaN or infinity", remedy)
    return cast


def _modelspec(
    facts: TrainingFacts, thumbnail: Image.Image | None, description: str, author: str, license_line: str
) -> dict[str, str]:
    """Return the known ModelSpec fields that are not in every concept file."""
    side = facts.resolution
    fields = {
        "modelspec.description": description,
        "modelspec.author": author,
        "modelspec.license": license_line,
        "modelspec.usage_hint": USAGE,
        "modelspec.resolution": "" if side is None else f"{side}x{side}",
        "modelspec.thumbnail": "" if thumbnail is None else thumbnail_uri(thumbnail),
    }
    return {key: value for key, value in fields.items() if value}


def thumbnail_uri(picture: Image.Image, side: int = SIDE) -> str:
    """A data URI of a JPEG no larger than ``side``, as `modelspec.thumbnail` wants it (ModelSpec 1.0.0)."""
    small = picture.convert("RGB")
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
