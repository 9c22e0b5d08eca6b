"""Check tensors against the shapes of a network."""

from collections.abc import Mapping

from torch import Tensor

from ..errors import ConceptFileError, some
from .unet_tensors import Shapes

AGAIN = "Copy or download the file again, or export the concept again."


def check_tensors(name: str, kind: str, tensors: Mapping[str, Tensor], shapes: Shapes, remedy: str = AGAIN) -> None:
    """Raise ConceptFileError unless the tensors are exactly a network's, of floating point types.

    Args:
        name: of the tensors' file, for the message.
        kind: the network's, for the message: "null-text-unet".
        tensors: by name.
        shapes: of the network's tensors, by name.
        remedy: for tensors that do not fit.
    """
    missing, unknown = sorted(set(shapes) - set(tensors)), sorted(set(tensors) - set(shapes))
    if missing:
        raise ConceptFileError.saying(name, f"The {kind} lacks {some(missing)}. {remedy}")
    if unknown:
        text = f"The {kind} has {len(shapes)} tensors, and {some(unknown)} is none of them. {remedy}"
        raise ConceptFileError.saying(name, text)
    for key, shape in shapes.items():
        value = tensors[key]
        if tuple(value.shape) != shape:
            raise ConceptFileError(name, f"{key} of shape {list(shape)}", f"shape {list(value.shape)}", remedy)
        if not value.is_floating_point():
            got = str(value.dtype).removeprefix("torch.")
            raise ConceptFileError(name, f"{key} of a floating point type", got, "Give a file that is not quantized.")


def missing_or_misshapen(tensors: Mapping[str, Tensor], shapes: Shapes) -> list[str]:
    """Return the names of the network's tensors that are missing or have another shape."""
    return sorted(key for key, shape in shapes.items() if key not in tensors or tuple(tensors[key].shape) != shape)
