"""Reading, writing and applying concepts, whatever their kind."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from .concept import Concept
from .concept_file import read_concept, write_concept
from .kinds import KINDS, NULL_TEXT_LORA, NULL_TEXT_UNET, TEXT_UNET
from .lora import LoraConcept, merge_lora
from .lora_file import is_lora_concept, read_lora_concept, write_lora_concept
from .null_text import FEATURE

AnyConcept = Concept | LoraConcept
AnyPath = str | os.PathLike[str]


@dataclass(frozen=True)
class Form:
    """The functions for concepts of one Python type, in memory and in a file.

    Attributes:
        read: raises ConceptFileError if the file is damaged or of another kind.
        write: writes a concept with more metadata; OSError or SafetensorError if writing fails.
        on: returns the whole network for a base with these tensors; ConceptFileError if they do not fit.
        weights: the fields with its weights, whose precision may change.
        constants: returns its null-text constants by name.
    """

    read: Callable[[AnyPath], AnyConcept]
    write: Callable[[AnyPath, Any, Mapping[str, str] | None], None]
    on: Callable[[Any, Mapping[str, Tensor]], Concept]
    weights: tuple[str, ...]
    constants: Callable[[Any], dict[str, Tensor]]


NETWORK = Form(
    read=read_concept,
    write=write_concept,
    on=lambda concept, base: concept,
    weights=("tensors",),
    constants=lambda concept: {key: value for key, value in concept.tensors.items() if key.endswith(FEATURE)},
)
ADAPTERS = Form(
    read=read_lora_concept,
    write=write_lora_concept,
    on=merge_lora,
    weights=("factors", "features"),
    constants=lambda lora: dict(lora.features),
)
FORMS = {NULL_TEXT_UNET.name: NETWORK, TEXT_UNET.name: NETWORK, NULL_TEXT_LORA.name: ADAPTERS}
assert FORMS.keys() == KINDS.keys(), "a form for each kind of concept"


def form_of(concept: AnyConcept) -> Form:
    """Return the form of a concept in memory."""
    return FORMS[concept.kind]


def form_in(path: AnyPath) -> Form:
    """Return the form of a file; that of a whole network if the file does not name its kind.

    Raises:
        ConceptFileError: the file is damaged.
    """
    return ADAPTERS if is_lora_concept(path) else NETWORK
