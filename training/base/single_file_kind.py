"""Say what a file is when it is no base: each of the usual mistakes by name."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from gcfg_core.concept_error import some
from gcfg_core.concept_metadata import FORMAT_KEY
from gcfg_core.input_error import InputError
from gcfg_core.null_text import FEATURE
from gcfg_core.tensor_file import EXTENSIONS

UNET = "model.diffusion_model."
BASE = "a checkpoint of SD1.5, SD2 or SDXL with UNet, VAE and text encoder"
WHOLE = "Give the whole checkpoint, or a diffusers folder."
KINDS = "a checkpoint (.safetensors), a diffusers folder or a world's folder"
# How files that are not of tensors begin.
BEGINNINGS = (
    (b"version https://git-lfs", "a Git LFS pointer, which stands for a file that was not downloaded"),
    (b"<!", "a web page"),
    (b"<html", "a web page"),
    (b"GGUF", "a GGUF file"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
)


def refuse_other_files(path: Path) -> None:
    """Raise InputError where a file is not of tensors at all; a damaged one passes, for its reader to tell."""
    with open(path, "rb") as file:
        start = file.read(512)
    if start[8:9] == b"{" or len(start) <= 8:  # after the header's length a .safetensors file has the header
        kind = None
    else:
        told = (kind for sign, kind in BEGINNINGS if start.startswith(sign))
        kind = next(told, "a text file" if _is_text(start) else None)
    if kind is None and path.suffix.lower() not in EXTENSIONS:
        kind = "a file of another kind"
    if kind is not None:
        raise InputError(str(path), KINDS, f"{kind}, no file of tensors", "Give one of them.")


def _is_text(start: bytes) -> bool:
    text = start.decode("utf-8", "ignore")  # its last character may be cut
    return len(text.encode()) > len(start) - 4 and all(c.isprintable() or c.isspace() for c in text)


def refuse_other_kinds(name: str, tensors: Iterable[str], metadata: Mapping[str, str]) -> None:
    """Raise InputError unless a file's tensor names are a Stable Diffusion checkpoint's."""
    names = list(tensors)
    if FORMAT_KEY in metadata or any(key.endswith(FEATURE) for key in names):
        raise InputError(name, BASE, "a concept checkpoint", "Give the base model it came from.")
    if "edm_mean" in names:
        raise InputError(name, BASE, "an EDM model (edm_mean)", "Bases of that kind are not supported.")
    if f"{UNET}input_blocks.0.0.weight" not in names:
        raise InputError(name, BASE, _kind(names), WHOLE)


def _kind(names: list[str]) -> str:
    """What a file without ldm's UNet is, for a message."""
    for sign, kind in (
        ("lora", "a LoRA"),
        ("control_model.", "a ControlNet"),
        (UNET, "another kind of diffusion model"),
        ("first_stage_model.", "a VAE"),
        ("encoder.down", "a VAE"),
        ("decoder.up", "a VAE"),
        ("down_blocks.0.resnets.", "a UNet alone"),
        ("input_blocks.0.0.", "a UNet alone"),
        ("text_model.", "a text encoder"),
        ("transformer.resblocks.", "a text encoder"),
    ):
        if any(sign in key for key in names):
            return kind
    return some(names) or "no tensors"
