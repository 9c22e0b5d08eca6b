"""Assemble the parts of a Stable Diffusion base, and check that they fit each other."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import diffusers
import torch
from torch import Tensor

from gcfg_core.concept.concept_file import EMPTY_PROMPT_IDS
from gcfg_core.concept.families import family_of, layout_of, network_of
from gcfg_core.concept.tensor_digest import digest_of
from gcfg_core.concept.unet_layout import UNetLayout
from gcfg_core.errors import InputError

from .clip import ClipText
from .codec import VaeCodec
from .model import Base, Condition
from .noise_schedule import NoiseSchedule
from .weights import as_input_error, fill

BELONG = "These parts belong to different models."


@dataclass(frozen=True, eq=False)
class Parts:
    """The parts of a base.

    Attributes:
        name: of the file or folder, for people.
        config: the UNet's configuration.
        tensors: the UNet's, in diffusers' names.
        schedule: noise schedule and prediction type.
        codec: the VAE.
        text: the text encoders.
        notes: choices made while reading; see `Base`.
    """

    name: str
    config: Mapping[str, Any]
    tensors: Mapping[str, Tensor]
    schedule: NoiseSchedule
    codec: VaeCodec
    text: ClipText
    notes: tuple[str, ...] = ()


def assemble(parts: Parts) -> Base:
    """Build a base from its parts.

    Raises:
        InputError: the UNet is not of SD1.5, SD2 or SDXL, or the parts do not fit each other.
    """
    config = plain_config(parts.config)
    layout = checked_layout(config, parts.name)
    unet = build_unet(config, parts.tensors, parts.name)
    null = parts.text.encode([""])
    if parts.text.pooled:
        null = Condition(null.hidden_states, null.pooled, torch.tensor([EMPTY_PROMPT_IDS]))
    _check(parts, layout, null)
    return Base(
        name=parts.name,
        sha256=digest_of(unet.state_dict()),
        unet=unet,
        config=config,
        schedule=parts.schedule,
        codec=parts.codec,
        null=null,
        text=parts.text if parts.text.has_tokenizers else None,
        latent_format=family_of(config).latent_format,
        notes=(*parts.notes, *_precision(parts.tensors)),
    )


def _precision(tensors: Mapping[str, Tensor]) -> tuple[str, ...]:
    """Return a note if the weights are stored in eight bits."""
    types = sorted({str(value.dtype).removeprefix("torch.") for value in tensors.values() if value.element_size() == 1})
    note = f"the UNet is stored as {', '.join(types)}, which rounds coarsely; train from the original if you have it"
    return (note,) if types else ()


def plain_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a UNet's configuration without diffusers' private keys and unset values."""
    return {key: value for key, value in config.items() if not key.startswith("_") and value is not None}


def checked_layout(config: Mapping[str, Any], name: str) -> UNetLayout:
    """Return the layout of a UNet.

    Raises:
        InputError: the UNet is not of SD1.5, SD2 or SDXL.
    """
    known = network_of(config).diffusers
    kind = config.get("_class_name", known)
    if kind != known:
        raise InputError(name, f"a {known}", str(kind), "Only SD1.5, SD2 and SDXL can be trained.")
    with as_input_error(name):
        return layout_of(config)


def empty_network(config: Mapping[str, Any]) -> Any:
    """Return diffusers' network for a configuration, without storage (meta device)."""
    with torch.device("meta"):
        return getattr(diffusers, network_of(config).diffusers).from_config(dict(config))


def build_unet(config: Mapping[str, Any], tensors: Mapping[str, Tensor], name: str) -> Any:
    """Return diffusers' UNet2DConditionModel in float32 on the CPU, in eval mode."""
    unet = empty_network(config)
    return fill(unet, tensors, f"{name}: UNet")


def _check(parts: Parts, layout: UNetLayout, null: Condition) -> None:
    pooled = None if null.pooled is None else null.pooled.shape[-1]
    for what, wanted, got in (
        ("UNet in_channels", parts.codec.channels, layout.in_channels),
        ("UNet out_channels", parts.codec.channels, layout.out_channels),
        ("width of the text features", layout.context_dim, null.hidden_states.shape[-1]),
        ("width of the pooled text vector", layout.pooled_dim, pooled),
    ):
        if wanted != got:
            remedy = "Inpainting and editing models are not supported." if "channels" in what else BELONG
            if "channels" in what and layout.in_channels == layout.out_channels:
                remedy = "The VAE belongs to another family: give this model's VAE with --vae."
            raise InputError(f"{parts.name}: {what}", str(wanted), str(got), remedy)
