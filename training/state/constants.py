"""constants.safetensors: a run's null-text constants, measured once and kept in the run's folder."""

from collections.abc import Callable, Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from gcfg_core.concept.null_text import FEATURE
from gcfg_core.errors import InputError

from ..durable import write_bytes

CONSTANTS = "constants.safetensors"


def kept_constants(folder: Path, measure: Callable[[], Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Return a run's constants by parameter name: measure them the first time, later read them back.

    Args:
        folder: of the run.
        measure: returns the constant of each layer, [1, 1, C], by the path of its `attn2`.

    Raises:
        InputError: the file cannot be written, or is damaged.
    """
    path = folder / CONSTANTS
    if not path.exists():
        constants = {f"{name}.{FEATURE}": value.detach().cpu().contiguous() for name, value in measure().items()}
        try:
            write_bytes(path, save(constants))
        except OSError as error:
            raise InputError(str(path), "a file that can be written", str(error), "Make room for it.") from None
    return read_constants(folder)


def read_constants(folder: Path) -> dict[str, Tensor]:
    """Read the constants that `kept_constants` wrote; write nothing.

    Raises:
        InputError: the file is missing or damaged.
    """
    path = folder / CONSTANTS
    try:
        return load(path.read_bytes())
    except (OSError, SafetensorError) as error:
        raise InputError(str(path), "the constants of this run", str(error), "Start another run.") from None
