"""Read a base from a single checkpoint file in ldm's names (SD1.5, SD2, SDXL), with diffusers' conversions.

Configurations are built in or inferred from tensor shapes, so no model hub is needed.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from diffusers.loaders import single_file_utils as ldm
from torch import Tensor

from gcfg_core.concept.families import architecture_of, family_of
from gcfg_core.concept.prediction_markers import MARKERS, marked_prediction
from gcfg_core.concept.tensor_file import open_tensors
from gcfg_core.concept.unet_configs import CONFIGS, infer_config

from .assemble import Parts, assemble, checked_layout
from .clip import ClipText
from .codec import VaeCodec
from .diffusers_folder import with_tokenizer
from .ema import unet_part
from .model import Base
from .prediction import ReadOptions, StatedSchedule, decide_schedule
from .single_file_kind import UNET, refuse_other_kinds
from .single_file_text import TEXT, text_encoders
from .vae import PREFIX as VAE
from .vae import ldm_vae, read_vae, vae_part
from .weights import as_input_error, check_finite


def read_single_file(path: Path, options: ReadOptions) -> Base:
    """Read a base of SD1.5, SD2 or SDXL, of any size that tensor shapes show.

    Raises:
        InputError: the file is damaged, incomplete or another kind of model.
    """
    with as_input_error(str(path)):
        tensors, metadata = open_tensors(path)
    refuse_other_kinds(path.name, tensors, metadata)
    part, notes = unet_part(tensors, options.variant, path.name)
    first_stage = vae_part(tensors) if options.vae is None else {}
    text = {key: value for key, value in tensors.items() if key.startswith(TEXT)}
    check_finite(part | {VAE + key: value for key, value in first_stage.items()} | text, path.name)
    with as_input_error(path.name):
        config, unet = _unet(part)
    layout = checked_layout(config, path.name)
    family = family_of(config)
    encoders = text_encoders(text, family.name, path.name)
    given = [with_tokenizer(encoder, number, None, options) for number, encoder in enumerate(encoders)]
    schedule = decide_schedule(options, _stated(tensors, metadata), config, unet)
    vae = ldm_vae(first_stage, family, path.name) if options.vae is None else read_vae(Path(options.vae), family)
    return assemble(
        Parts(
            name=path.name,
            config=config,
            tensors=unet,
            schedule=schedule,
            codec=VaeCodec(vae),
            text=ClipText(given, pooled=layout.pooled_dim is not None),
            notes=tuple(notes),
        )
    )


def _stated(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> StatedSchedule:
    """Return the facts in marker tensors, then in ModelSpec metadata."""
    zero = True if MARKERS[1] in tensors else None
    return StatedSchedule(prediction_type=marked_prediction(tensors, metadata), zero_terminal_snr=zero)


def _unet(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return the UNet's configuration, and its tensors in diffusers' names."""
    part = {key: value for key, value in tensors.items() if key.startswith(UNET)}
    added = "text_time" if f"{UNET}label_emb.0.0.weight" in part else None
    stub = {"layers_per_block": _layers(part), "addition_embed_type": added}
    converted: dict[str, Tensor] = ldm.convert_ldm_unet_checkpoint(part, stub)
    config = infer_config({key: tuple(value.shape) for key, value in converted.items()})
    return dict(CONFIGS.get(architecture_of(config), config)), converted


def _layers(unet: Mapping[str, Tensor]) -> int:
    """Count the residual blocks of the first level: input blocks between the first convolution and the first
    downsampling."""
    block = 1
    while f"{UNET}input_blocks.{block}.0.in_layers.0.weight" in unet:
        block += 1
    return max(block - 1, 1)
