"""Locate and read CLIP's tokenizer files: the base's, the user's or ComfyUI's."""

import os
from pathlib import Path
from typing import Any

from transformers import CLIPTokenizer

from gcfg_core.errors import InputError

FILES = ("tokenizer.json", "vocab.json")
COMFYUI = "comfy/sd1_tokenizer"  # in ComfyUI's folder; CLIP-L and both OpenCLIP encoders share this vocabulary


def is_tokenizer(folder: Path) -> bool:
    """True if the folder contains CLIP's tokenizer files."""
    return any((folder / name).is_file() for name in FILES)


def read_tokenizer(folder: Path, vocabulary: int) -> Any:
    """Read transformers' CLIPTokenizer from a folder.

    Args:
        folder: with vocab.json and merges.txt, or tokenizer.json.
        vocabulary: number of tokens of the text encoder.

    Raises:
        InputError: the tokenizer is missing, damaged, or has more tokens than the encoder.
    """
    if not is_tokenizer(folder):
        remedy = "Name a folder of CLIP's tokenizer files."
        raise InputError(str(folder), "a folder with vocab.json and merges.txt", "none of them", remedy)
    try:
        tokenizer: Any = CLIPTokenizer.from_pretrained(str(folder), local_files_only=True)
    except Exception as error:  # transformers and its Rust part raise anything about damaged files
        got = "files that cannot be read"
        raise InputError(str(folder), "CLIP's tokenizer", got, "Copy or download it again.") from error
    if len(tokenizer) > vocabulary:
        got = str(len(tokenizer))
        raise InputError(str(folder), f"a vocabulary of at most {vocabulary} tokens", got, "It is another model's.")
    return tokenizer


def comfyui_tokenizer() -> Path | None:
    """Return ComfyUI's copy of CLIP's tokenizer files, if this pack lies in its custom_nodes or COMFYUI_PATH is set.

    Single-file checkpoints need it, because they contain no tokenizer. No ComfyUI code is run.
    """
    pack = Path(__file__).absolute().parents[2]
    hosts = [Path(os.environ.get("COMFYUI_PATH") or pack.parent.parent), pack.parent.parent]
    return next((place / COMFYUI for place in hosts if is_tokenizer(place / COMFYUI)), None)


def tokenizer_folder(named: str, number: int) -> tuple[Path, bool]:
    """Locate the tokenizer of text encoder ``number`` (0 or 1) in the folder that the user named.

    Returns:
        The folder, and True if it belongs to this encoder, so that its padding applies. A folder named directly serves
        every encoder, with the family's padding.
    """
    own = Path(named) / ("tokenizer_2" if number else "tokenizer")
    return (own, True) if is_tokenizer(own) else (Path(named), False)
