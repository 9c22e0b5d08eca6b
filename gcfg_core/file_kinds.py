"""The kind of a model file by its tensors' names, and what loads it: for messages about a file in the wrong place."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from .file_signs import DIFFUSION_MODELS, OTHER_PARTS, PREFIXES

LORA = re.compile(r"(^|[._])(lora|lycoris)([._]|$)|\.(hada_w|lokr_w)\d|\.dora_scale|\.oft_(blocks|diag)")
LORA_REMEDY = "In ComfyUI: LoRA Loader + Guidance Term, one of whose sides is the model with the LoRA on it."
FAMILY_REMEDY = (
    "Load Diffusion Model (Load Checkpoint for a whole checkpoint) loads it where ComfyUI knows the family, and any "
    "side of a guidance graph can be on it; only SD1.5, SD2 and SDXL can be trained."
)


@dataclass(frozen=True)
class FileKind:
    """A file that is neither a concept nor a base that can be trained.

    Attributes:
        name: with its article, such as "a Flux model".
        remedy: a sentence that says what loads it.
    """

    name: str
    remedy: str


def kind_of(names: Iterable[str]) -> FileKind | None:
    """The kind of a file with tensors of these names; None for one that is not known, and for a UNet of SD1.5, SD2 or
    SDXL.

    The names that decide are those by which ComfyUI's own detection decides, or diffusers' names of the same layers.
    """
    given = list(names)
    bare = {_bare(name) for name in given}
    if "lora_controlnet" in bare or _begins(bare, given, OTHER_PARTS["ControlNet"][0]):
        return _part("ControlNet")
    if any(LORA.search(name) for name in given):
        return FileKind("a LoRA", LORA_REMEDY)
    other = (_part(kind) for kind, (signs, _) in OTHER_PARTS.items() if _begins(bare, given, signs))
    return diffusion_family(given) or next(other, None)


def diffusion_family(names: Iterable[str]) -> FileKind | None:
    """The family of a diffusion model, alone or in a whole checkpoint; None for SD1.5, SD2, SDXL and unknown ones."""
    bare = {_bare(name) for name in names}
    known = (family for family, signs in DIFFUSION_MODELS if all(sign in bare for sign in signs))
    return next((FileKind(f"{_article(family)} {family} model", FAMILY_REMEDY) for family in known), None)


def _part(kind: str) -> FileKind:
    return FileKind(f"{_article(kind)} {kind}", OTHER_PARTS[kind][1])


def _begins(bare: set[str], given: list[str], signs: tuple[str, ...]) -> bool:
    return any(name.startswith(signs) for name in (*bare, *given))


def _bare(name: str) -> str:
    return next((name.removeprefix(prefix) for prefix in PREFIXES if name.startswith(prefix)), name)


def _article(noun: str) -> str:
    return "an" if noun[0] in "AEIOUaeio" or noun.startswith("LTX") else "a"
