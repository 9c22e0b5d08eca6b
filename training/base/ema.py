"""Choose between the two UNets in a training checkpoint: the last weights, and their moving average (model_ema.*)."""

from collections.abc import Mapping

from torch import Tensor

from gcfg_core.errors import InputError, some

from .single_file_kind import UNET

EMA = "model_ema."  # followed by the name without "model." and without dots
VARIANTS = ("ema", "non_ema")
NOTE = (
    "the file has two UNets: the last weights, which ComfyUI loads and which are read, and their moving average; "
    "--variant ema reads the average"
)


def unet_part(tensors: Mapping[str, Tensor], variant: str | None, name: str) -> tuple[dict[str, Tensor], list[str]]:
    """Return the UNet's tensors under their own names, and notes about the choice.

    Args:
        tensors: of the whole file.
        variant: "ema" for the average; "non_ema" or None for the last weights, which ComfyUI reads.
        name: of the file, for messages.

    Raises:
        InputError: the variant is unknown, or the average is missing or incomplete.
    """
    plain = {key: value for key, value in tensors.items() if key.startswith(UNET)}
    averaged = any(key.startswith(EMA) for key in tensors)
    if variant not in (None, *VARIANTS):
        raise InputError(f"variant of {name}", " or ".join(VARIANTS), repr(variant), "Leave it out.")
    if variant != "ema":
        return plain, [NOTE] if averaged and variant is None else []
    if not averaged:
        raise InputError(f"variant of {name}", "averaged weights (model_ema.*)", "a file without", "Leave it out.")
    names = {key: EMA + key.removeprefix("model.").replace(".", "") for key in plain}
    missing = [key for key in names.values() if key not in tensors]
    if missing:
        raise InputError(f"{name}: averaged weights", "all of the UNet's", f"no {some(missing)}",
                         "Leave --variant out.")  # fmt: skip
    return {key: tensors[own] for key, own in names.items()}, [
        "the averaged weights are read, which ComfyUI does not load"
    ]
