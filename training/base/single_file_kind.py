"""Refuse files that are not a base; the error names the file's kind and what loads it."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from gcfg_core.concept.file_kinds import diffusion_family, kind_of
from gcfg_core.concept.metadata import FORMAT_KEY
from gcfg_core.concept.null_text import FEATURE
from gcfg_core.concept.prediction_markers import EDM_REMEDY, edm_kind
from gcfg_core.concept.tensor_file import EXTENSIONS
from gcfg_core.errors import InputError, some

UNET = "model.diffusion_model."
BASE = "a checkpoint of SD1.5, SD2 or SDXL with UNet, VAE and text encoder"
WHOLE = "Give the whole checkpoint, or a diffusers folder."
KINDS = "a checkpoint (.safetensors), a diffusers folder or a world's folder"
# First bytes of files without tensors.
BEGINNINGS = (
    (b"version https://git-lfs", "a Git LFS pointer to a file that was not downloaded"),
    (b"<!", "a web page"),
    (b"<html", "a web page"),
    (b"GGUF", "a GGUF file"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
)
LCM = "time_embed.cond_proj.weight"
LCM_KIND = "an LCM UNet, distilled for few steps under a guidance embedding"
LCM_REMEDY = "Give the model that it was distilled from."
QUANTIZED = "Quantized models cannot be trained; give the original in fp16, bf16 or fp32."
# Name endings of the scales beside quantized weights.
SCALES = {
    "scaled_fp8": "a scaled fp8 model",
    ".scale_weight": "a scaled fp8 model",
    ".scale_input": "a scaled fp8 model",
    ".weight_scale": "a quantized model",
    ".weight_scale_2": "a quantized model",
    ".comfy_quant": "a quantized model",
    ".absmax": "a bitsandbytes model",
}
# Name prefixes that only relatives of Stable Diffusion have.
RELATIVES = (
    ("embedder.model.visual.", "an unCLIP model, which reads an image embedding"),
    ("conditioner.embedders.0.model.transformer.", "an SDXL refiner"),
)
RELATIVE_REMEDY = "Only SD1.5, SD2 and SDXL can be trained; in ComfyUI Load Checkpoint loads it."


def refuse_other_files(path: Path) -> None:
    """Raise InputError if a file has no tensors at all; a damaged file passes, and its reader reports it."""
    with open(path, "rb") as file:
        start = file.read(512)
    if start[8:9] == b"{" or len(start) <= 8:  # a .safetensors file: the header's length, then the header
        kind = None
    else:
        kinds = (kind for sign, kind in BEGINNINGS if start.startswith(sign))
        kind = next(kinds, "a text file" if _is_text(start) else None)
    if kind is None and path.suffix.lower() not in EXTENSIONS:
        kind = "a file of another kind"
    if kind is not None:
        raise InputError(str(path), KINDS, f"{kind}, not a file of tensors", "Give a base model.")


def _is_text(start: bytes) -> bool:
    text = start.decode("utf-8", "ignore")  # the last character may be cut
    return len(text.encode()) > len(start) - 4 and all(c.isprintable() or c.isspace() for c in text)


def refuse_other_kinds(name: str, tensors: Iterable[str], metadata: Mapping[str, str]) -> None:
    """Raise InputError unless a file's tensor names and metadata are those of a Stable Diffusion checkpoint."""
    names = list(tensors)
    if FORMAT_KEY in metadata or any(key.endswith(FEATURE) for key in names):
        raise InputError(name, BASE, "a concept checkpoint", "Give the base model that it was trained from.")
    edm = edm_kind(names)
    if edm is not None:
        raise InputError(name, BASE, edm, EDM_REMEDY)
    is_stable = f"{UNET}input_blocks.0.0.weight" in names
    kind = diffusion_family(names) if is_stable else kind_of(names)
    if kind is not None:
        raise InputError(name, BASE, kind.name, kind.remedy)
    if not is_stable:
        raise InputError(name, BASE, _part(names), WHOLE)
    refuse_quantized(name, names)
    if UNET + LCM in names:
        raise InputError(name, BASE, f"{LCM_KIND} ({LCM})", LCM_REMEDY)
    for sign, relative in RELATIVES:
        if any(key.startswith(sign) for key in names):
            raise InputError(name, BASE, relative, RELATIVE_REMEDY)


def refuse_quantized(name: str, names: Sequence[str]) -> None:
    """Raise InputError if a tensor name is that of a quantized weight's scale."""
    for end, kind in SCALES.items():
        scale = next((key for key in names if key.endswith(end)), None)
        if scale is not None:
            raise InputError(name, "unquantized floating point weights", f"{kind} ({scale})", QUANTIZED)


def _part(names: Sequence[str]) -> str:
    """Describe a file without ldm's UNet and without the names of a known kind."""
    signs = (("down_blocks.0.resnets.", "a UNet alone"), ("input_blocks.0.0.", "a UNet alone"),
             (UNET, "another kind of diffusion model"))  # fmt: skip
    known = (kind for sign, kind in signs if any(key.startswith(sign) for key in names))
    return next(known, some(list(names)) or "no tensors")
