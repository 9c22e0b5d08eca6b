"""Tiny model files with random weights that ComfyUI's real loaders accept.

Only the sizes that a loader checks are real (context width, model channels, latent channels); the rest is as small as
it can be. Files are built on demand in seconds and kept in `rigs.host.cache_dir()`.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import comfy.ldm.modules.diffusionmodules.mmdit
import comfy.ldm.modules.diffusionmodules.openaimodel
import comfy.ldm.wan.model
import comfy.ops
import comfy.sd
import torch
from comfy.model_patcher import ModelPatcher
from safetensors.torch import save_file
from torch import Tensor, nn

from rigs.host import cache_dir
from rigs.weights import random_state

VERSION = 1
"""Part of every file name; raise it when the contents of built files change."""

TOKENS = 8


@dataclass(frozen=True)
class Kind:
    """One architecture: the layout of its network and the shapes of its inputs."""

    network: type[nn.Module]
    config: dict
    context: int
    pooled: int | None = None
    channels: int = 4
    frames: int | None = None
    extra: Callable[[], dict[str, Tensor]] = dict
    """Further tensors by which the loader recognizes the variant."""


def _unet(context: int, **changes: object) -> dict:
    base = {
        "image_size": 32,
        "in_channels": 4,
        "out_channels": 4,
        "model_channels": 320,
        "num_res_blocks": [1],
        "channel_mult": [1],
        "transformer_depth": [1],
        "transformer_depth_output": [0, 0],
        "transformer_depth_middle": -2,
        "use_spatial_transformer": True,
        "use_linear_in_transformer": False,
        "context_dim": context,
        "num_heads": 8,
        "legacy": False,
    }
    return {**base, **changes}


def _v_prediction_mark() -> dict[str, Tensor]:
    """The bias by whose spread (more than 0.09) SD2's loader recognizes v-prediction."""
    return {"output_blocks.11.1.transformer_blocks.0.norm1.bias": torch.linspace(-1, 1, 320)}


_UNET = comfy.ldm.modules.diffusionmodules.openaimodel.UNetModel
_VEGA = {
    "num_res_blocks": [2, 2, 2],
    "channel_mult": [1, 1, 1],
    "transformer_depth": [0, 0, 1, 1, 2, 2],
    "transformer_depth_output": [0] * 9,
    "use_linear_in_transformer": True,
    "num_heads": 5,
    "num_classes": "sequential",
    "adm_in_channels": 2816,
}
_MMDIT = {
    "input_size": None,
    "patch_size": 2,
    "in_channels": 16,
    "depth": 1,
    "adm_in_channels": 2048,
    "context_embedder_config": {"target": "torch.nn.Linear", "params": {"in_features": 4096, "out_features": 64}},
    "num_patches": 1024,
    "pos_embed_max_size": 32,
    "pos_embed_scaling_factor": None,
}
_WAN = {"model_type": "t2v", "dim": 128, "ffn_dim": 128, "num_heads": 1, "num_layers": 1, "in_dim": 16, "out_dim": 16}

KINDS: dict[str, Kind] = {
    "sd15": Kind(_UNET, _unet(768), 768),
    "sd2v": Kind(_UNET, _unet(1024, use_linear_in_transformer=True), 1024, extra=_v_prediction_mark),
    "sdxl": Kind(_UNET, _unet(2048, **_VEGA), 2048, pooled=1280),
    "sd3": Kind(
        comfy.ldm.modules.diffusionmodules.mmdit.OpenAISignatureMMDITWrapper, _MMDIT, 4096, pooled=2048, channels=16
    ),
    "wan": Kind(comfy.ldm.wan.model.WanModel, _WAN, 4096, channels=16, frames=2),
}
"""SD1.5 eps, SD2 v-prediction, SDXL (as Segmind Vega), SD3 flow and Wan 2.1 text to video."""


def unet_state(kind: str, seed: int = 0) -> dict[str, Tensor]:
    """The network's random float32 weights under ComfyUI's names, without a prefix."""
    spec = _kind(kind)
    network = spec.network(**spec.config, operations=comfy.ops.disable_weight_init, device=torch.device("meta"))
    return {**random_state(network.state_dict(), seed), **spec.extra()}


def tiny_unet(kind: str, seed: int = 0) -> Path:
    """A diffusion model file for Load Diffusion Model."""
    return built(f"unet-{kind}-{seed}", lambda: unet_state(kind, seed))


def load_tiny(kind: str, seed: int = 0) -> ModelPatcher:
    """Load the file of `tiny_unet` with ComfyUI's own loader: a fresh model each call."""
    model = comfy.sd.load_diffusion_model(str(tiny_unet(kind, seed)))
    if model is None:
        raise RuntimeError(f"ComfyUI did not recognise the tiny {kind} model")
    return model


def tiny_cond(kind: str, seed: int = 0) -> list:
    """Make a CONDITIONING like this architecture's text encoder: [1, 8, width] and a pooled vector."""
    spec = _kind(kind)
    generator = torch.Generator().manual_seed(1000 + seed)
    extra = {} if spec.pooled is None else {"pooled_output": torch.randn(1, spec.pooled, generator=generator)}
    return [[torch.randn(1, TOKENS, spec.context, generator=generator), extra]]


def tiny_latent(kind: str, seed: int = 0, batch: int = 1, size: int = 16) -> dict[str, Tensor]:
    """A LATENT of random samples [batch, channels, (frames,) size, size]."""
    spec = _kind(kind)
    frames = () if spec.frames is None else (spec.frames,)
    generator = torch.Generator().manual_seed(2000 + seed)
    return {"samples": torch.randn(batch, spec.channels, *frames, size, size, generator=generator)}


def built(name: str, state: Callable[[], dict[str, Tensor]]) -> Path:
    """Return the cached file of this name; make it from `state()` if it does not exist yet."""
    path = cache_dir() / f"{name}-v{VERSION}.safetensors"
    if not path.is_file():
        partial = path.with_suffix(f".{os.getpid()}.part")
        save_file({key: value.contiguous() for key, value in state().items()}, partial)
        partial.replace(path)
    return path


def _kind(kind: str) -> Kind:
    if kind not in KINDS:
        raise KeyError(f"no tiny model {kind!r}; there are {', '.join(KINDS)}")
    return KINDS[kind]
