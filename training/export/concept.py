"""From a trained state to a concept file of format 1."""

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

RESERVED = ("constants",)  # .safetensors files that a run keeps beside its result
NETWORK = "unet."  # how a trained module's tensors begin where the UNet is a part of it
USAGE = "ComfyUI: put it into models/gcfg_concepts and choose it in Load Concept Model."
SIDE = 256  # pixels of the longer side
QUALITY = 85


def concept_of(
    base: Base, state: Mapping[str, Tensor], facts: TrainingFacts, *, null_text: bool = True, title: str = ""
) -> Concept:
    """A whole UNet as a concept.

    Args:
        base: what it was trained from; gives everything but the weights.
        state: the trained UNet's tensors in diffusers' names, with or without "unet." before them; tensors of other
            parts of the trained module are left out.
        facts: about the run.
        null_text: whether its cross-attention was replaced by constants.
        title: a name for people.

    Raises:
        InputError: the state lacks a tensor of the network.
    """
    named = _unet_tensors(state)
    expected = shapes_of(base.config, null_text)
    missing = sorted(set(expected) - set(named))
    if missing:
        raise InputError("trained state", "every tensor of the UNet", f"none called {missing[0]}",
                         "Give the whole UNet: trained tensors and those that were frozen.")  # fmt: skip
    kind = (NULL_TEXT_UNET if null_text else TEXT_UNET).name
    return Concept({key: named[key] for key in expected}, base.config, kind, title=title, training=facts.as_json(),
                   **described(base))  # fmt: skip


def lora_concept_of(
    base: Base, state: Mapping[str, Tensor], facts: TrainingFacts, *, rank: int, alpha: float, title: str = ""
) -> LoraConcept:
    """A LoRA as a concept.

    Args:
        base, facts, title: as for `concept_of`.
        state: the factors under PEFT's names, with or without the adapter's name ("default"), and every
            `null_text_feature`; everything else, such as the frozen layers, is left out.
        rank, alpha: of every layer.
    """
    named = {key.replace(".default.", "."): value for key, value in _unet_tensors(state).items()}
    factors = {key: value for key, value in named.items() if ".lora_" in key}
    features = {key: value for key, value in named.items() if key.endswith(f".{FEATURE}")}
    return LoraConcept(
        factors, features, base.config, rank, alpha, title=title, training=facts.as_json(), **described(base)
    )


def as_dtype(concept: AnyConcept, name: str = "fp16") -> AnyConcept:
    """The concept with its weights in another precision; SDXL's constants stay as they are.

    Raises:
        InputError: an unknown precision, or one in which a weight is no finite number.
    """
    if name not in DTYPES:
        raise InputError("dtype", " or ".join(DTYPES), repr(name), "fp16 is what most programs expect.")
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
    """Write a concept file and its model card beside it, each whole or not at all.

    A file in the card's place that is none of ours stays; so does a card whose blank somebody filled in, unless a
    licence is given.

    Args:
        folder: an existing folder, such as a run's.
        concept: from `concept_of` or `lora_concept_of`.
        facts: the same as in the concept.
        name: of the file, without .safetensors; made from the title without it. One that a run's own files have gets
            "-concept" behind it.
        dtype: "fp16", "bf16" or "fp32".
        thumbnail: a sample, for programs that show one.
        description, author, license_line: for people; what is empty is left out, or left to fill in.
        card: name of the model card: README.md in a folder of its own, such as a run's.

    Returns:
        The path of the concept file, and that of the card, None where it was not written.

    Raises:
        InputError: weights that are no finite numbers in this precision.
        ConceptFileError: the concept is not whole.
        OSError, SafetensorError: it could not be written.
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
    """The file that `export_run` writes under a name."""
    return folder / f"{name}{'-concept' if name.lower() in RESERVED else ''}.safetensors"


def file_name(title: str) -> str:
    """A file's name from a title: letters, digits, dots and dashes; "concept" where nothing is left."""
    kept = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in title)
    return "-".join(part for part in kept.strip("-. ").split("-") if part) or "concept"


def _unet_tensors(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    inside = {key.removeprefix(NETWORK): value for key, value in state.items() if key.startswith(NETWORK)}
    return inside or dict(state)


def described(base: Base) -> dict[str, Any]:
    """The fields that every kind of concept takes from its base."""
    pooled = layout_of(base.config).pooled_dim is not None
    return {
        "prediction_type": base.schedule.prediction_type,
        "zero_terminal_snr": base.schedule.zero_terminal_snr,
        "latent_format": base.latent_format,
        "base": base_line(base),
        "text_embeds": base.null.pooled if pooled else None,
        "time_ids": base.null.time_ids if pooled else None,
    }


def _cast(tensors: Mapping[str, Tensor], dtype: str) -> dict[str, Tensor]:
    cast = {key: value.detach().to(DTYPES[dtype]) for key, value in tensors.items()}
    odd = next((key for key, value in cast.items() if not torch.isfinite(value).all()), None)
    if odd is not None:
        remedy = "Export as fp32." if torch.isfinite(tensors[odd]).all() else "The training diverged; use less lr."
        raise InputError(odd, f"finite numbers in {dtype}", "others", remedy)
    return cast


def _modelspec(
    facts: TrainingFacts, thumbnail: Image.Image | None, description: str, author: str, license_line: str
) -> dict[str, str]:
    """ModelSpec fields beyond those that every concept file has; only those that are known."""
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
