"""A base from one checkpoint file in ldm's names (SD1.5, SD2, SDXL), through diffusers' own conversions.

The configurations are ours or read from tensor shapes, so that nothing is asked of a model hub.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from diffusers.loaders import single_file_utils as ldm
from torch import Tensor

from gcfg_core.architectures import CONFIGS, architecture_of, family_of, infer_config
from gcfg_core.concept_file import MARKERS
from gcfg_core.tensor_file import open_tensors

from .assemble import Parts, assemble, checked_layout
from .clip import ClipText
from .codec import VaeCodec, build_vae
from .configs import vae_config
from .diffusers_folder import with_tokenizer
from .model import Base
from .prediction import ReadOptions, Told, decide_schedule
from .single_file_kind import UNET, refuse_other_kinds
from .single_file_text import text_encoders
from .weights import as_input_error

VAE = "first_stage_model."
SPEC = {"v": "v_prediction", "epsilon": "epsilon"}  # modelspec.prediction_type


def read_single_file(path: Path, options: ReadOptions) -> Base:
    """A base of SD1.5, SD2 or SDXL, of any size that tensor shapes tell.

    Raises:
        InputError: the file is damaged, incomplete or another kind of model.
    """
    with as_input_error(str(path)):
        tensors, metadata = open_tensors(path)
    refuse_other_kinds(path.name, tensors, metadata)
    with as_input_error(path.name):
        config, unet = _unet(tensors)
    layout = checked_layout(config, path.name)
    family = family_of(config)
    encoders = text_encoders(tensors, family, path.name)
    given = [with_tokenizer(encoder, number, None, options) for number, encoder in enumerate(encoders)]
    schedule = decide_schedule(options, _told(tensors, metadata), config, unet)
    return assemble(
        Parts(
            name=path.name,
            config=config,
            tensors=unet,
            schedule=schedule,
            codec=VaeCodec(_vae(tensors, family, path.name)),
            text=ClipText(given, pooled=layout.pooled_dim is not None),
        )
    )


def _told(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> Told:
    """Marker tensors, then ModelSpec's metadata."""
    v_pred, ztsnr = (name in tensors for name in MARKERS)
    prediction = "v_prediction" if v_pred else SPEC.get(metadata.get("modelspec.prediction_type", ""))
    return Told(prediction_type=prediction, zero_terminal_snr=True if ztsnr else None)


def _unet(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Configuration and tensors of the UNet in diffusers' names."""
    part = {key: value for key, value in tensors.items() if key.startswith(UNET)}
    added = "text_time" if f"{UNET}label_emb.0.0.weight" in part else None
    stub = {"layers_per_block": _layers(part), "addition_embed_type": added}
    converted: dict[str, Tensor] = ldm.convert_ldm_unet_checkpoint(part, stub)
    config = infer_config({key: tuple(value.shape) for key, value in converted.items()})
    return dict(CONFIGS.get(architecture_of(config), config)), converted


def _layers(unet: Mapping[str, Tensor]) -> int:
    """Residual blocks of the first level: the input blocks between the first convolution and the first downsampling."""
    block = 1
    while f"{UNET}input_blocks.{block}.0.in_layers.0.weight" in unet:
        block += 1
    return max(block - 1, 1)


def _vae(tensors: Mapping[str, Tensor], family: str, name: str) -> Any:
    part = {key.removeprefix(VAE): value for key, value in tensors.items() if key.startswith(VAE)}
    config = vae_config({key: tuple(value.shape) for key, value in part.items()}, family, name)
    stub = {"down_block_types": config["down_block_types"], "up_block_types": config["up_block_types"]}
    prefixed = {VAE + key: value for key, value in part.items()}
    return build_vae(config, ldm.convert_ldm_vae_checkpoint(prefixed, stub), name)
