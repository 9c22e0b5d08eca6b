"""Read a base model from any kind of file or folder."""

from dataclasses import fields
from pathlib import Path

from gcfg_core.errors import InputError

from .model import Base
from .prediction import ReadOptions
from .single_file_kind import KINDS, refuse_other_files
from .world_config import is_recipe

OPTIONS = tuple(field.name for field in fields(ReadOptions))  # arguments of `read_base`, named as in all settings


def find_base(path: str) -> Path:
    """Return the path of a base.

    Raises:
        InputError: the path does not exist, or is a file without tensors.
    """
    if not Path(path).exists():
        raise InputError(path, KINDS, "nothing there", "Check the name; a model hub is never asked.")
    if Path(path).is_file() and not is_recipe(path):
        refuse_other_files(Path(path))
    return Path(path)


def read_base(
    path: str,
    *,
    prediction_type: str | None = None,
    zero_terminal_snr: bool | None = None,
    tokenizer: str | None = None,
    vae: str | None = None,
    variant: str | None = None,
) -> Base:
    """Read a base in float32 on the CPU. No model hub is ever contacted.

    Args:
        path: a diffusers folder or a single-file checkpoint (.safetensors, ldm's names) of SD1.5, SD2, SDXL or a
            fine-tune, or a world of our own.
        prediction_type: "epsilon" or "v_prediction"; default: from the files, or guessed.
        zero_terminal_snr: True if the noise schedule has zero terminal SNR; default: from the files.
        tokenizer: folder of CLIP's tokenizer files, for captions; default: the diffusers folder's own.
        vae: file or folder of a VAE to use instead of the base's own.
        variant: weights to read: fp16, non_ema ... of a folder; ema or non_ema of a single file.

    Raises:
        InputError: the base is missing, damaged, has non-finite weights, or is another kind of model.
    """
    place = find_base(path)
    from . import world

    options = ReadOptions(prediction_type, zero_terminal_snr, tokenizer, vae, variant)
    if world.is_world(path):
        if options != ReadOptions():
            got = "prediction_type, zero_terminal_snr, tokenizer, vae or variant"
            raise InputError(path, "a world alone", got, "A world's files state them; leave them out.")
        return world.read_world(path)
    if place.is_dir():
        from .diffusers_folder import read_folder

        return read_folder(place, options)
    from .single_file import read_single_file

    return read_single_file(place, options)
