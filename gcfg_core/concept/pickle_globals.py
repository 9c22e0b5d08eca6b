"""Names of classes and functions in a pickle, and inert classes that replace the harmless ones: nothing is run.

A PyTorch Lightning checkpoint stores trainer state beside its tensors: the class of a callback as a key, a loss as a
numpy scalar. torch's weights-only unpickler refuses that file. The trainer state is not needed, so each of the names
below is replaced by a class that does nothing: neither Lightning nor numpy is imported or called.
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
    """A class that accepts any pickled data and drops it."""

    def __init__(self, *args: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass

    def __setitem__(self, key: object, value: object) -> None:
        pass


def is_harmless(name: str) -> bool:
    """True if a global, for example "numpy.dtype", occurs only in trainer state."""
    return name in NUMPY or name.startswith((*LIGHTNING, "numpy.dtypes."))


def stand_ins(names: Iterable[str]) -> list[Any]:
    """Make a class that does nothing for each name, as torch's `safe_globals` expects them."""
    return [type(name.rpartition(".")[2], (Inert,), {"__module__": name.rpartition(".")[0]}) for name in sorted(names)]


def globals_in(path: str | os.PathLike[str]) -> set[str]:
    """Return the classes and functions that a torch.save file names, as "module.name"; no code is run.

    Raises:
        ValueError, OSError, zipfile.BadZipFile: the file contains no complete pickle.
    """
    if not zipfile.is_zipfile(path):
        with open(path, "rb") as handle:
            return _globals_in_legacy(handle)
    with zipfile.ZipFile(path) as archive:
        pickles = [name for name in archive.namelist() if name.rpartition("/")[2] == "data.pkl"]
        return set().union(*(_globals(io.BytesIO(archive.read(name))) for name in pickles))


def _globals_in_legacy(handle: IO[bytes]) -> set[str]:
    """Return the globals of torch's format before zip: several pickles in a row, then the tensors' raw bytes."""
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
        elif operation.name == "STACK_GLOBAL":  # newer pickle protocols, which torch's weights-only unpickler refuses
            names.add(".".join(texts[-2:]))
        elif isinstance(argument, str):
            texts.append(argument)
    return names
