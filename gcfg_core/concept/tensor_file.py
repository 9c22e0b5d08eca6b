"""Read tensor files without running code in them, and write them completely or not at all."""

import hashlib
import json
import os
import pickle
import re
import uuid
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..durable import replacing
from ..errors import ConceptFileError, some
from .pickle_globals import globals_in, is_harmless, stand_ins

SAFETENSORS = (".safetensors", ".sft")
EXTENSIONS = (*SAFETENSORS, ".bin", ".pt", ".pth", ".ckpt")
# Message of torch's weights-only unpickler about a class or a function, in contrast to damage.
CODE = re.compile(r"not an allowed global|is blocked|must be \S+ to load|Can only (build|create)|call reduce")
HASH = "modelspec.hash_sha256"  # ModelSpec 1.0.0: the hash of all tensor content, which is the file without its header
TENSORS = ("torch.", "collections.OrderedDict", "_codecs.encode")  # prefixes of the names in a plain state dict
UNREADABLE = (
    pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError, IndexError, TypeError,
    AttributeError,
)  # fmt: skip
DAMAGED = "The file is incomplete or damaged; copy or download it again."


def open_tensors(path: str | os.PathLike[str]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return every tensor of a file (memory mapped if the format allows it) and its metadata strings.

    Args:
        path: .safetensors or .sft, or a torch.save file, read with weights_only=True.

    Raises:
        ConceptFileError: the file does not exist, is damaged, has no state dict, or is a pickle that needs code.
    """
    if Path(path).suffix.lower() not in SAFETENSORS:
        return _state_dict(path), {}
    with _safetensors(path) as handle:
        return {key: handle.get_tensor(key) for key in handle.keys()}, handle.metadata() or {}  # noqa: SIM118


def tensor_names(path: str | os.PathLike[str]) -> tuple[list[str], dict[str, str]]:
    """Return the names of a file's tensors and its metadata strings, without reading tensors from a .safetensors
    file."""
    if Path(path).suffix.lower() not in SAFETENSORS:
        return list(_state_dict(path)), {}
    with _safetensors(path) as handle:
        return list(handle.keys()), handle.metadata() or {}


def write_tensors(path: str | os.PathLike[str], tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a .safetensors file: a temporary file beside it, flushed to disk, then renamed to ``path``.

    Args:
        path: an existing file is replaced only when the new file is complete.
        tensors: on any device; copied only if they are not contiguous or share storage.
        metadata: strings; `HASH` is added if they follow ModelSpec.

    Raises:
        ConceptFileError: ``path`` is not a .safetensors name in an existing folder.
        OSError, SafetensorError: writing failed; an existing file is unchanged.
    """
    hashed = "modelspec.sai_model_spec" in metadata
    complete = {**metadata, **({HASH: f"0x{'0' * 64}"} if hashed else {})}
    with _replacing(path, (".safetensors",)) as partial:
        save_file(_separate(tensors), partial, metadata=complete)
        if hashed:
            _note_hash(partial)


def write_state_dict(path: str | os.PathLike[str], tensors: Mapping[str, Tensor]) -> None:
    """Write tensors without metadata to a .safetensors or torch.save file, completely or not at all.

    Raises:
        ConceptFileError: ``path`` is not the name of a file of these kinds in an existing folder.
        OSError, SafetensorError: writing failed; an existing file is unchanged.
    """
    with _replacing(path, (".safetensors", ".bin", ".pt", ".pth")) as partial:
        if Path(path).suffix.lower() == ".safetensors":
            save_file(_separate(tensors), partial)
        else:
            torch.save(_separate(tensors), partial)


@contextmanager
def _replacing(path: str | os.PathLike[str], suffixes: tuple[str, ...]) -> Iterator[Path]:
    """Yield a temporary file beside ``path``; flush it and rename it to ``path`` if the block succeeds."""
    target = Path(path)
    if target.suffix.lower() not in suffixes:
        expected = f"a name that ends in {' or '.join(suffixes)}"
        raise ConceptFileError(str(path), expected, target.suffix or "no ending", "Rename it.")
    if not target.parent.is_dir():
        raise ConceptFileError.saying(str(target.parent), "The folder does not exist. Make it first.")
    partial = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
    with replacing(target, partial):
        partial.touch()  # with the permissions of any new file, which save_file would make the owner's alone
        mode = partial.stat().st_mode
        yield partial
        partial.chmod(mode)


def _note_hash(path: Path) -> None:
    """Write the hash of a file's tensors over the zeros that its header reserves for it."""
    with open(path, "rb+") as handle:
        length = int.from_bytes(handle.read(8), "little")
        header = handle.read(length)
        digest = hashlib.sha256()
        while piece := handle.read(1 << 20):
            digest.update(piece)
        room = f'{json.dumps(HASH)}:"0x'.encode()
        handle.seek(8 + header.index(room) + len(room))
        handle.write(digest.hexdigest().encode())


def _separate(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors on the CPU, contiguous and without shared storage, as safetensors requires; copied only if
    needed."""
    separate: dict[str, Tensor] = {}
    seen: set[int] = set()
    for key, tensor in tensors.items():
        value = tensor.detach().cpu().contiguous()
        if value.untyped_storage().nbytes() != value.nbytes or value.data_ptr() in seen:
            value = value.clone()
        seen.add(value.data_ptr())
        separate[key] = value
    return separate


def _safetensors(path: str | os.PathLike[str]) -> Any:
    name = Path(path).name
    try:
        return safe_open(str(path), framework="pt", device="cpu")
    except FileNotFoundError:
        raise _absent(path) from None
    except (SafetensorError, OSError, ValueError) as error:
        raise ConceptFileError(name, "a whole .safetensors file", str(error).splitlines()[0], DAMAGED) from error


def _state_dict(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    name = Path(path).name
    if not os.path.isfile(path):
        raise _absent(path)
    try:
        loaded = _weights_only(path)
    except UNREADABLE as error:
        named = _foreign_globals(path)
        if CODE.search(str(error)) or named:
            which = f" ({some(sorted(named))})" if named else ""
            raise ConceptFileError(
                name, "only tensors", f"a pickle that needs code to be run{which}",
                "It was not run. Ask its author for a .safetensors file, or convert it where you trust it.",
            ) from error  # fmt: skip
        raise ConceptFileError.saying(name, f"The file cannot be read as tensors. {DAMAGED}") from error
    tensors = _unwrapped(loaded)
    if not tensors or not all(isinstance(key, str) for key in tensors):
        got = "a dict without tensors" if isinstance(loaded, Mapping) else type(loaded).__name__
        raise ConceptFileError(name, "a state dict of tensors", got, "Give the UNet's state dict.")
    return tensors


def _weights_only(path: str | os.PathLike[str]) -> object:
    """Load a file with torch's weights-only unpickler; harmless trainer state becomes objects that do nothing."""
    mapped = zipfile.is_zipfile(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except pickle.UnpicklingError:
        names = {name for name in globals_in(path) if is_harmless(name)} - _allowed()
        if not names or not hasattr(torch.serialization, "safe_globals"):
            raise
    with torch.serialization.safe_globals(stand_ins(names)):
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)


def _allowed() -> set[str]:
    """Name the globals that the unpickler of this process already accepts; ComfyUI registers some of the same."""
    listed = getattr(torch.serialization, "get_safe_globals", list)()
    return {known[1] if isinstance(known, tuple) else f"{known.__module__}.{known.__qualname__}" for known in listed}


def _foreign_globals(path: str | os.PathLike[str]) -> set[str]:
    """Name the globals of a pickle that are neither tensors nor harmless trainer state; empty if it is unreadable."""
    try:
        names = globals_in(path)
    except (*UNREADABLE, zipfile.BadZipFile):
        return set()
    return {name for name in names if not (name.startswith(TENSORS) or is_harmless(name))}


def _unwrapped(loaded: object) -> dict[str, Tensor]:
    """Return the state dict itself, also out of {"state_dict": ...} or a dict with a single dict in it, as ComfyUI
    does; empty if there is none."""
    if isinstance(loaded, Mapping) and isinstance(loaded.get("state_dict"), Mapping):
        loaded = loaded["state_dict"]
    elif isinstance(loaded, Mapping) and len(loaded) == 1 and isinstance(only := next(iter(loaded.values())), Mapping):
        loaded = only
    if not isinstance(loaded, Mapping):
        return {}
    return {key: value for key, value in loaded.items() if isinstance(value, Tensor)}


def _absent(path: str | os.PathLike[str]) -> ConceptFileError:
    if os.path.isdir(path):
        return ConceptFileError.saying(str(path), "This is a folder. Give a file in it.")
    return ConceptFileError.saying(str(path), "There is no file of this name. Check the name and the folder.")
