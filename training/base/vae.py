"""Read a VAE from its own file or folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from diffusers import AutoencoderKL
from diffusers.loaders import single_file_utils as ldm
from torch import Tensor

from gcfg_core.concept.families import Family
from gcfg_core.concept.file_kinds import kind_of
from gcfg_core.concept.tensor_file import open_tensors
from gcfg_core.errors import InputError

from .codec import build_vae
from .configs import vae_config
from .single_file_kind import refuse_quantized
from .weights import as_input_error, check_finite, folder_tensors, folder_variants, read_json

PREFIX = "first_stage_model."
CONFIG = "config.json"
GIVE_VAE = "Give --vae with the file or diffusers folder of this family's VAE."
DIFFUSERS = "encoder.down_blocks."


def read_vae(path: Path, family: Family) -> AutoencoderKL:
    """Read the VAE that the user names, in float32 on the CPU.

    Args:
        path: a file in ldm's names, with or without "first_stage_model." (also a full checkpoint); a file in diffusers'
            names with config.json beside it; or a diffusers folder of a VAE, or with vae/ in it.
        family: its latent scale is used if no configuration states it.

    Raises:
        InputError: the path does not exist, or is not a VAE of this family.
    """
    if not path.exists():
        raise InputError(f"vae {path}", "a VAE's file or folder", "nothing there", "Check the name.")
    if path.is_dir():
        folder = path / "vae" if (path / "vae").is_dir() else path
        return build_vae(read_json(folder / CONFIG), folder_tensors(folder, folder_variants(folder)[0]), path.name)
    with as_input_error(str(path)):
        tensors = open_tensors(path)[0]
    refuse_quantized(path.name, list(tensors))
    if any(key.startswith(DIFFUSERS) for key in tensors):
        check_finite(tensors, path.name)
        return build_vae(read_json(path.parent / CONFIG), tensors, path.name)
    part = vae_part(tensors) or tensors
    if "decoder.conv_in.weight" not in part:
        kind = kind_of(tensors)
        remedy = kind.remedy if kind and kind.name != "a VAE" else "Give this family's VAE."
        raise InputError(f"vae {path.name}", "an AutoencoderKL", kind.name if kind else "another file", remedy)
    check_finite(part, path.name)
    return ldm_vae(part, family, path.name)


def vae_part(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a checkpoint's VAE tensors without their prefix."""
    return {key.removeprefix(PREFIX): value for key, value in tensors.items() if key.startswith(PREFIX)}


def ldm_vae(part: Mapping[str, Tensor], family: Family, name: str) -> Any:
    """Return diffusers' AutoencoderKL from tensors in ldm's names (encoder.down.0.block.0...).

    Raises:
        InputError: the tensors belong to another autoencoder.
    """
    config = vae_config({key: tuple(value.shape) for key, value in part.items()}, family.latent_scale, name)
    stub = {"down_block_types": config["down_block_types"], "up_block_types": config["up_block_types"]}
    prefixed = {PREFIX + key: value for key, value in part.items()}
    return build_vae(config, ldm.convert_ldm_vae_checkpoint(prefixed, stub), name)
