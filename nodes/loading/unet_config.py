"""Convert a UNet's layout to ComfyUI's configuration of it and to ComfyUI's names for the tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import comfy.utils

from ...gcfg_core.concept.null_text import FEATURE
from ...gcfg_core.concept.unet_layout import UNetLayout
from ...gcfg_core.errors import ConceptFileError

NO_MIDDLE, RESIDUAL_MIDDLE = -2, -1  # ComfyUI's transformer_depth_middle without a middle block, and without attention


def host_unet_config(layout: UNetLayout) -> dict[str, Any]:
    """Return the arguments of ComfyUI's UNetModel for this network.

    Raises:
        ConceptFileError: diffusers can build the network, ComfyUI's UNetModel cannot.
    """
    width = layout.channels[0]
    if len(set(layout.layers)) > 1:
        raise ConceptFileError(
            "unet_config.layers_per_block", "the same number for all levels", str(list(layout.layers)),
            "ComfyUI's names for the tensors can express nothing else.",
        )  # fmt: skip
    config: dict[str, Any] = {
        "image_size": 32,
        "in_channels": layout.in_channels,
        "out_channels": layout.out_channels,
        "model_channels": width,
        "channel_mult": [_multiple(channels, width) for channels in layout.channels],
        "num_res_blocks": list(layout.layers),
        "transformer_depth": [depth for row in layout.down_depths for depth in row],
        "transformer_depth_output": [depth for row in layout.up_depths for depth in row][::-1],
        "transformer_depth_middle": NO_MIDDLE if layout.middle_depth is None else layout.middle_depth,
        "use_spatial_transformer": True,
        "use_linear_in_transformer": layout.linear_projection,
        "context_dim": layout.context_dim,
        "adm_in_channels": layout.added_dim,
        "use_checkpoint": False,
        "legacy": False,
        "use_temporal_attention": False,
        "use_temporal_resblock": False,
    }
    if layout.added_dim is not None:
        config["num_classes"] = "sequential"
    return {**config, **_heads(layout)}


def host_names(unet_config: Mapping[str, Any]) -> dict[str, str]:
    """Map diffusers' name of each tensor to ComfyUI's, with the null-text constants."""
    names = dict(comfy.utils.unet_to_diffusers(unet_config))
    for theirs, ours in list(names.items()):
        if theirs.endswith("attn2.to_q.weight"):
            stem = len("to_q.weight")
            names[theirs[:-stem] + FEATURE] = ours[:-stem] + FEATURE
    if unet_config["adm_in_channels"] is not None:
        return {theirs: ours for theirs, ours in names.items() if not theirs.startswith("class_embedding.")}
    return names


class WidthRatio:
    """A level's width relative to the first level's, if that is not a whole number. ComfyUI only multiplies it by the
    first width; the product is the level's width as an integer, as layers need it.

    Args:
        width: of the level.
        first: width of the first level.
    """

    def __init__(self, width: int, first: int) -> None:
        self.width, self.first = width, first

    def __mul__(self, model_channels: int) -> int:
        return self.width * model_channels // self.first

    __rmul__ = __mul__

    def __repr__(self) -> str:
        return f"{self.width}/{self.first}"


def _multiple(width: int, first: int) -> int | WidthRatio:
    return WidthRatio(width, first) if width % first else width // first


def _heads(layout: UNetLayout) -> dict[str, int]:
    """Return the heads in ComfyUI's form: one number of heads, or one width of a head, for the whole network."""
    sizes = {channels // heads for channels, heads in zip(layout.channels, layout.heads, strict=True)}
    if len(set(layout.heads)) == 1:
        return {"num_heads": layout.heads[0], "num_head_channels": -1}
    if len(sizes) == 1:
        return {"num_heads": -1, "num_head_channels": sizes.pop()}
    raise ConceptFileError(
        "unet_config.attention_head_dim", "one number of heads, or one width of a head, on all levels",
        str(list(layout.heads)), "ComfyUI's UNet can express nothing else.",
    )  # fmt: skip
