"""Names of classes and functions in a pickle, and stand-ins for the harmless ones, so that nothing of theirs is run.

A checkpoint of PyTorch Lightning holds the trainer's notes beside its tensors: the class of a callback as a key, a loss
as a numpy scalar. torch's weights-only unpickler refuses that file. Nobody here needs the notes, so each of the names
below gets a class that does nothing: neither Lightning nor numpy is imported or called.
"""

import io
import os
import pickletools
import zipfile
from collections.abc import Iterable
from typing import IO, Any

LIGHTNING = ("pytorch_lightning.", "lightning.")
NUMPY = {
    "numpy.dtype", "numpy.ndarray",
    *(f"numpy.{core}.multiarray.{name}" for core in ("core", "_core") for name in ("scalar", "_reconstruct")),
}  # fmt: skip


class Inert:
    """Takes whatever a pickle gives it and keeps nothing."""

    def __init__(self, *args: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass

    def __setitem__(self, key: object, value: object) -> None:
        pass


def is_harmless(name: str) -> bool:
    """Whether a global, such as "numpy.dtype", only belongs to a trainer's notes."""
    return name in NUMPY or name.startswith((*LIGHTNING, "numpy.dtypes."))


def stand_ins(names: Iterable[str]) -> list[Any]:
    """A class that does nothing for each name, as torch's `safe_globals` takes them."""
    return [type(name.rpartition(".")[2], (Inert,), {"__module__": name.rpartition(".")[0]}) for name in sorted(names)]


def globals_in(path: str | os.PathLike[str]) -> set[str]:
    """The classes and functions that a torch.save file names, as "module.name"; no code is run.

    Raises:
        ValueError, OSError, zipfile.BadZipFile: it holds no whole pickle.
    """
    if not zipfile.is_zipfile(path):
        with open(path, "rb") as handle:
            return _globals_in_legacy(handle)
    with zipfile.ZipFile(path) as archive:
        pickles = [name for name in archive.namelist() if name.rpartition("/")[2] == "data.pkl"]
        return set().union(*(_globals(io.BytesIO(archive.read(name))) for name in pickles))


def _globals_in_legacy(handle: IO[bytes]) -> set[str]:
    """Of several pickles in a row, as torch wrote them before its zip format: the last is followed by raw numbers."""
    names = _globals(handle)
    while True:
        try:
            names |= _globals(handle)
        except ValueError:
            return names


def _globals(handle: IO[bytes]) -> set[str]:
    names, texts = set(), [""]
    for operation, argument, _ in pickletools.genops(handle):
        if operation.name in ("GLOBAL", "INST"):
            names.add(str(argument).replace(" ", "."))
        elif operation.name == "STACK_GLOBAL":  # newer protocols, which torch's weights-only unpickler refuses
            names.add(".".join(texts[-2:]))
        elif isinstance(argument, str):
            texts.append(argument)
    return names
