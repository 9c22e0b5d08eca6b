"""LoRAs for any model, and the separately loaded model that a LoRA clone must equal."""

import copy
from pathlib import Path

import comfy.weight_adapter
import torch
from comfy.model_patcher import ModelPatcher
from safetensors.torch import save_file
from torch import Tensor

from rigs.host import cache_dir
from rigs.micro import patcher_class

PREFIX = "diffusion_model."
RANK, SCALE = 2, 0.5
"""SCALE: the change's size, relative to weights of variance 1 / fan-in."""


def lora_factors(patcher: ModelPatcher, seed: int = 0) -> dict[str, tuple]:
    """Up and down factors for every attention matrix: {weight name: (up [out, RANK], down [RANK, in])}."""
    generator = torch.Generator().manual_seed(3000 + seed)
    factors = {}
    for name, weight in sorted(patcher.model.diffusion_model.named_parameters()):
        if ".attn" in name and name.endswith(".weight") and weight.dim() == 2:
            out, inner = weight.shape
            up = torch.randn(out, RANK, generator=generator) * SCALE * (RANK * inner) ** -0.5
            factors[name] = (up, torch.randn(RANK, inner, generator=generator))
    if not factors:
        raise ValueError(f"{type(patcher.model).__name__} has no attention matrix to put a LoRA on")
    return factors


def lora_patches(patcher: ModelPatcher, seed: int = 0) -> dict:
    """A LoRA as the dict that `patcher.add_patches(patches, strength)` takes."""
    return {
        PREFIX + name: comfy.weight_adapter.LoRAAdapter(set(), (up, down, None, None, None, None))
        for name, (up, down) in lora_factors(patcher, seed).items()
    }


def with_lora(patcher: ModelPatcher, seed: int = 0, strength: float = 1.0) -> ModelPatcher:
    """A clone with a LoRA, as Load LoRA makes it: it shares the network with `patcher`."""
    clone = patcher.clone()
    patches = lora_patches(patcher, seed)
    applied = clone.add_patches(patches, strength)
    assert set(applied) == set(patches), "the host refused some LoRA keys"
    return clone


def separate(patcher: ModelPatcher) -> ModelPatcher:
    """Copy a model as if it were loaded from its own file: same patches and options, nothing shared."""
    owner, patcher.model.current_patcher = patcher.model.current_patcher, None
    try:
        with torch.inference_mode(False), torch.no_grad():
            config = patcher.model.model_config  # holds no weights; that of newer ComfyUI versions cannot be copied
            model = copy.deepcopy(patcher.model, {id(config): config})
    finally:
        patcher.model.current_patcher = owner
    other = patcher_class()(model, load_device=patcher.load_device, offload_device=patcher.offload_device)
    other.patches = {name: list(entries) for name, entries in patcher.patches.items()}
    other.patches_uuid = patcher.patches_uuid
    other.object_patches = dict(patcher.object_patches)
    other.model_options = copy.deepcopy(patcher.model_options)
    return other


def lora_file(patcher: ModelPatcher, seed: int = 0) -> Path:
    """A LoRA file that Load LoRA accepts for this model."""
    state: dict[str, Tensor] = {}
    for name, (up, down) in lora_factors(patcher, seed).items():
        stem = PREFIX + name.removesuffix(".weight")
        state[f"{stem}.lora_up.weight"] = up
        state[f"{stem}.lora_down.weight"] = down
    sizes = sum(value.numel() for value in state.values())
    path = cache_dir() / f"lora-{type(patcher.model).__name__}-{sizes}-{seed}.safetensors"
    save_file(state, path)
    return path
