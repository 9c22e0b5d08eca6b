"""The micro model: a real SD1.5-class model of ComfyUI's, shrunk to about a millisecond a forward."""

from typing import Literal

import comfy.model_base
import comfy.model_management
import comfy.model_patcher
import comfy.supported_models
import torch

from rigs.weights import fill

CONTEXT = 32

UNET = {
    "image_size": 32,
    "in_channels": 4,
    "out_channels": 4,
    "model_channels": 32,
    "num_res_blocks": [1],
    "channel_mult": [1],
    "transformer_depth": [1],
    "transformer_depth_output": [0, 0],
    "transformer_depth_middle": 1,
    "use_spatial_transformer": True,
    "use_linear_in_transformer": False,
    "context_dim": CONTEXT,
    "adm_in_channels": None,
    "use_temporal_attention": False,
    "legacy": False,
}
FLAT = {**UNET, "transformer_depth_middle": -2}
"""Without the middle block: half the layers, for tests that ask many predictions."""
DEEP = {
    **UNET,
    "num_res_blocks": [1, 1],
    "channel_mult": [1, 2],
    "transformer_depth": [1, 1],
    "transformer_depth_output": [1, 1, 1, 1],
}
"""With two levels and attention on each, for patches that look for them (PAG, SAG, FreeU)."""


def micro_model(
    seed: int = 0, prediction: Literal["eps", "v"] = "eps", unet: dict = UNET
) -> comfy.model_patcher.ModelPatcher:
    """A new float32 model with its own weights, in SD1.5's latent space and noise schedule.

    Args:
        seed: same seed, same weights, whatever the prediction.
        prediction: what the network predicts.
        unet: its configuration.
    """
    config = comfy.supported_models.SD15(dict(unet))
    config.set_inference_dtype(torch.float32, None)
    kinds = {"eps": comfy.model_base.ModelType.EPS, "v": comfy.model_base.ModelType.V_PREDICTION}
    device = comfy.model_management.get_torch_device()
    with torch.inference_mode(False), torch.no_grad():
        model = comfy.model_base.BaseModel(config, model_type=kinds[prediction], device=torch.device("cpu"))
        fill(model.diffusion_model, seed)
    return patcher_class()(model, load_device=device, offload_device=torch.device("cpu"))


def patcher_class() -> type[comfy.model_patcher.ModelPatcher]:
    """Return the patcher class of ComfyUI's own loaders (newer versions have a core class for it)."""
    return getattr(comfy.model_patcher, "CoreModelPatcher", comfy.model_patcher.ModelPatcher)


def micro_cond(seed: int = 0, tokens: int = 4) -> list:
    """A CONDITIONING of one entry with a random context [1, tokens, 32]."""
    generator = torch.Generator().manual_seed(1000 + seed)
    return [[torch.randn(1, tokens, CONTEXT, generator=generator), {}]]


def micro_latent(seed: int = 0, batch: int = 1, size: int = 8) -> dict[str, torch.Tensor]:
    """A LATENT of random samples [batch, 4, size, size]."""
    generator = torch.Generator().manual_seed(2000 + seed)
    return {"samples": torch.randn(batch, 4, size, size, generator=generator)}
