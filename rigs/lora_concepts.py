"""LoRA concepts for the tests of both environments: with factors on every possible layer, or in version 0.1.0's
format."""

import math
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from gcfg_core.concept.families import layout_of
from gcfg_core.concept.lora import DOWN, UP, LoraConcept, lora_delta
from gcfg_core.concept.metadata import describe
from gcfg_core.concept.null_text import FEATURE
from gcfg_core.concept.unet_tensors import tensor_shapes

RANK, ALPHA = 16, 4.0


def lora_on_every_layer(config: dict, **fields: Any) -> LoraConcept:
    """Make random factors for each linear layer and convolution of a null-text network, and random constants.

    Args:
        config: of the UNet.
        fields: further attributes of the concept, for example SDXL's constants.
    """
    draw, factors, features = torch.Generator().manual_seed(4), {}, {}
    for key, shape in tensor_shapes(layout_of(config), null_text=True).items():
        if key.endswith(FEATURE):
            features[key] = torch.randn(shape, generator=draw)
        elif key.endswith(".weight") and len(shape) > 1:
            layer, ones = key.removesuffix(".weight"), [1] * (len(shape) - 2)
            factors[layer + DOWN] = torch.randn(RANK, *shape[1:], generator=draw) * math.prod(shape[1:]) ** -0.5
            factors[layer + UP] = torch.randn(shape[0], RANK, *ones, generator=draw) * RANK**-0.5
    return LoraConcept(factors, features, config, RANK, ALPHA, "the base", **fields)


def with_factors(lora: LoraConcept, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Add alpha / rank * B @ A to the base's weights: the effect of an ordinary LoRA, with unchanged
    cross-attention."""
    changed = dict(weights)
    for layer in lora.layers:
        down, up = lora.factors[layer + DOWN], lora.factors[layer + UP]
        changed[f"{layer}.weight"] = weights[f"{layer}.weight"] + lora_delta(down, up, ALPHA / RANK)
    return changed


def write_as_version_0_1_0(path: Path, lora: LoraConcept) -> None:
    """Write a file of format 1: PEFT's names, the constants as tensors, alpha only in the metadata."""
    bare = lora.with_tensors({}, lora.kind)
    metadata = describe(bare, path.stem)
    metadata |= {"gcfg.format": "1", "gcfg.lora_rank": str(lora.rank), "gcfg.lora_alpha": repr(lora.alpha)}
    save_file({**lora.factors, **lora.features, **bare.constants}, path, metadata)
