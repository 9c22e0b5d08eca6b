"""Read a base model, whatever kind of file or folder it is in."""

from dataclasses import fields
from pathlib import Path

from gcfg_core.errors import InputError

from .model import Base
from .prediction import ReadOptions
from .single_file_kind import KINDS, refuse_other_files
from .world_config import is_recipe

OPTIONS = tuple(field.name for field in fields(ReadOptions))  # of `read_base`, by their names in all settings


def find_base(path: str) -> Path:
    """Where a base is.

    Raises:
        InputError: nothing is there, or a file that is not of tensors.
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
    """A base in float32 on the CPU. Nothing is ever asked of a model hub.

    Args:
        path: a diffusers folder or a single-file checkpoint (.safetensors, ldm's names) of SD1.5, SD2, SDXL or a
            fine-tune, or a world of our own.
        prediction_type: "epsilon" or "v_prediction"; what the files say, or a guess, without.
        zero_terminal_snr: whether its schedule has zero terminal SNR; what the files say without.
        tokenizer: a folder of CLIP's tokenizer files, for captions; the diffusers folder's own without.
        vae: a VAE's file or folder, in place of the base's own.
        variant: of a folder's weights, such as fp16 or non_ema; of a single file's UNet, ema or non_ema.

    Raises:
        InputError: nothing is there, it is damaged, holds numbers that are not finite, or is another kind of model.
    """
    place = find_base(path)
    from . import world

    options = ReadOptions(prediction_type, zero_terminal_snr, tokenizer, vae, variant)
    if world.is_world(path):
        if options != ReadOptions():
            got = "prediction_type, zero_terminal_snr, tokenizer, vae or variant"
            raise InputError(path, "a world alone", got, "A world says these itself; leave them out.")
        return world.read_world(path)
    if place.is_dir():
        from .diffusers_folder import read_folder

        return read_folder(place, options)
    from .single_file import read_single_file

    return read_single_file(place, options)
