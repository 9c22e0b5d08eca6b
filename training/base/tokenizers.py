"""Tokenizer files of CLIP, where a base brings them, the user names them or ComfyUI has them."""

import os
from pathlib import Path
from typing import Any

from transformers import CLIPTokenizer

from gcfg_core.errors import InputError

FILES = ("tokenizer.json", "vocab.json")
COMFYUI = "comfy/sd1_tokenizer"  # in ComfyUI's folder: the vocabulary that CLIP-L and both OpenCLIP encoders share


def is_tokenizer(folder: Path) -> bool:
    """Whether CLIP's tokenizer files lie in this folder."""
    return any((folder / name).is_file() for name in FILES)


def read_tokenizer(folder: Path, vocabulary: int) -> Any:
    """transformers' CLIPTokenizer of a folder.

    Args:
        folder: with vocab.json and merges.txt, or tokenizer.json.
        vocabulary: how many tokens the text encoder knows.

    Raises:
        InputError: no tokenizer there, a damaged one, or one with more tokens than the encoder knows.
    """
    if not is_tokenizer(folder):
        remedy = "Name a folder of CLIP's tokenizer files."
        raise InputError(str(folder), "a folder with vocab.json and merges.txt", "none of them", remedy)
    try:
        tokenizer: Any = CLIPTokenizer.from_pretrained(str(folder), local_files_only=True)
    except Exception as error:  # whatever transformers and its Rust part raise about a damaged file
        got = "files that cannot be read"
        raise InputError(str(folder), "CLIP's tokenizer", got, "Copy or download it again.") from error
    if len(tokenizer) > vocabulary:
        got = f"one of {len(tokenizer)}"
        raise InputError(str(folder), f"a vocabulary of at most {vocabulary} tokens", got, "It is another model's.")
    return tokenizer


def comfyui_tokenizer() -> Path | None:
    """ComfyUI's copy of CLIP's tokenizer files, where this pack lies in its custom_nodes or COMFYUI_PATH names it.

    For single-file checkpoints, which bring none. No code of ComfyUI is run.
    """
    pack = Path(__file__).absolute().parents[2]
    hosts = [Path(os.environ.get("COMFYUI_PATH") or pack.parent.parent), pack.parent.parent]
    return next((place / COMFYUI for place in hosts if is_tokenizer(place / COMFYUI)), None)


def tokenizer_folder(named: str, number: int) -> tuple[Path, bool]:
    """Where the tokenizer of text encoder ``number`` (0 or 1) lies in what the user named.

    Returns:
        The folder, and whether it is that very encoder's, so that its padding can be believed: a folder named directly
        serves every encoder, which then pads as its family does.
    """
    own = Path(named) / ("tokenizer_2" if number else "tokenizer")
    return (own, True) if is_tokenizer(own) else (Path(named), False)
