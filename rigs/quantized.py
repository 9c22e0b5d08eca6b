"""Small models whose attention matrices are quantized in the forms that newer ComfyUI versions read (comfy-kitchen)."""

import json
from typing import Any

import comfy.model_base
import comfy.supported_models
import torch
from comfy.model_patcher import ModelPatcher
from torch import Tensor

from rigs.micro import UNET, patcher_class
from rigs.weights import fill

try:
    from comfy.quant_ops import QUANT_ALGOS
    from comfy_kitchen.tensor import QuantizedTensor
except ImportError:
    QUANT_ALGOS = {}

WIDTH = 64
"""Channels, and the context's width: the smallest group of the 4-bit forms."""

OPTIONS: dict[str, dict[str, Any]] = {
    "float8_e4m3fn": {"scale": "recalculate"},
    "float8_e5m2": {"scale": "recalculate"},
    "nvfp4": {"scale": "recalculate"},
    "mxfp8": {},
    "int8_tensorwise": {"scale": "recalculate"},
    "convrot_w4a4": {"convrot_groupsize": 16},
    "asym_w4a8_int8": {"convrot_groupsize": 16},
}
"""Arguments of each form's own quantizer."""

FORMS = [name for name in OPTIONS if name in QUANT_ALGOS]
"""The forms that this ComfyUI knows; none before it used comfy-kitchen."""

FOUR_BIT = [name for name in FORMS if name in ("nvfp4", "convrot_w4a4", "asym_w4a8_int8")]
"""The forms that pack two numbers into a byte, so that the stored tensor has another shape than the weight."""


def quantized_state(state: dict[str, Tensor], form: str, layers: str = ".attn") -> dict[str, Tensor]:
    """Return the tensors of a file whose attention matrices are stored in this form.

    Args:
        state: a network's float32 weights.
        form: of `FORMS`.
        layers: part of the quantized layers' names; ComfyUI recognises a UNet by the shape of its first attn2.to_k.
    """
    layout = QUANT_ALGOS[form]["comfy_tensor_layout"]
    stored = dict(state)
    for name, weight in state.items():
        if layers in name and name.endswith(".weight") and weight.dim() == 2:
            packed = QuantizedTensor.from_float(weight, layout, **OPTIONS[form])
            stored |= {key: value.clone() for key, value in packed.state_dict(name).items()}
            settings = {key: value for key, value in OPTIONS[form].items() if key != "scale"}
            text = json.dumps({"format": form, **settings})
            mark = torch.tensor(list(text.encode()), dtype=torch.uint8)
            stored[name.removesuffix("weight") + "comfy_quant"] = mark
    return stored


def quantized_model(form: str, seed: int = 0) -> ModelPatcher:
    """A fresh micro model of `WIDTH` channels, its attention matrices in this form; otherwise float32."""
    settings = {**UNET, "model_channels": WIDTH, "context_dim": WIDTH}
    with torch.inference_mode(False), torch.no_grad():
        plain = comfy.model_base.BaseModel(_config(settings), device=torch.device("cpu"))
        state = fill(plain.diffusion_model, seed).state_dict()
        config = _config(settings)
        config.quant_config = {"mixed_ops": True}
        model = comfy.model_base.BaseModel(config, device=torch.device("cpu"))
        model.load_model_weights(quantized_state(state, form), "")
    return patcher_class()(model, load_device=torch.device("cpu"), offload_device=torch.device("cpu"))


def quantized_cond(seed: int = 0, tokens: int = 4) -> list:
    """A CONDITIONING of one entry with a random context [1, tokens, WIDTH]."""
    return [[torch.randn(1, tokens, WIDTH, generator=torch.Generator().manual_seed(1000 + seed)), {}]]


def _config(settings: dict[str, Any]) -> Any:
    config = comfy.supported_models.SD15(dict(settings))
    config.set_inference_dtype(torch.float32, torch.float32)
    return config
