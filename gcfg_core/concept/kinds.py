"""The kinds of concept by their names in files, each an object that answers every question about it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ConceptKind:
    """A kind of concept.

    Attributes:
        name: in a file's metadata.
        null_text: True if the model ignores text.
        is_whole: True if the file is a whole network; otherwise it is used together with its base model.
        modelspec: ModelSpec's name for it, which other programs recognize.
    """

    name: str
    null_text: bool
    is_whole: bool
    modelspec: str


NULL_TEXT_UNET = ConceptKind("null-text-unet", null_text=True, is_whole=True, modelspec="null-text-unet")
TEXT_UNET = ConceptKind("unet", null_text=False, is_whole=True, modelspec="unet")
NULL_TEXT_LORA = ConceptKind("null-text-lora", null_text=True, is_whole=False, modelspec="lora")
KINDS = {kind.name: kind for kind in (NULL_TEXT_UNET, TEXT_UNET, NULL_TEXT_LORA)}
WHOLE = tuple(name for name, kind in KINDS.items() if kind.is_whole)
