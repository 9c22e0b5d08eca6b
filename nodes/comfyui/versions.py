"""All differences between ComfyUI versions and between ModelPatcher subclasses that this pack handles."""

from __future__ import annotations

import copy
import inspect
from typing import TYPE_CHECKING, Any

import comfy.model_management
import comfy.model_patcher
import comfy.sample
import comfy.samplers
import comfy.sd
import torch

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher


def process_conds(
    model: Any, noise: torch.Tensor, conds: dict[str, list], device: torch.device, **options: Any
) -> dict:
    """Call ComfyUI's process_conds with those of ``options`` that this version knows."""
    known = inspect.signature(comfy.samplers.process_conds).parameters
    return comfy.samplers.process_conds(
        model, noise, conds, device, **{name: value for name, value in options.items() if name in known}
    )


EMPTY_LATENT_HINTS = ("downscale_ratio_spacial", "downscale_ratio_temporal")
"""Entries in which newer ComfyUI versions' empty latent nodes store the scale they used."""


def fit_latent(model: ModelPatcher, latent: dict[str, Any]) -> torch.Tensor:
    """Return the samples of a LATENT; an empty latent gets the model's channels (and in newer versions its size)."""
    known = inspect.signature(comfy.sample.fix_empty_latent_channels).parameters
    hints = {name: latent[name] for name in EMPTY_LATENT_HINTS if name in known and name in latent}
    return comfy.sample.fix_empty_latent_channels(model, latent["samples"], **hints)


def to_intermediate(samples: torch.Tensor) -> torch.Tensor:
    """Move samples to the device, and in newer ComfyUI versions to the dtype, in which nodes exchange them."""
    management = comfy.model_management
    dtype = management.intermediate_dtype() if hasattr(management, "intermediate_dtype") else samples.dtype
    return samples.to(device=management.intermediate_device(), dtype=dtype)


def patcher_class(dynamic: bool) -> type[ModelPatcher]:
    """Return the patcher class for a newly loaded model: a class that streams weights only if ``dynamic``."""
    plain = comfy.model_patcher.ModelPatcher
    return getattr(comfy.model_patcher, "CoreModelPatcher", plain) if dynamic else plain


def whole_clip(target: Any, embeddings: list[str], dtype: torch.dtype) -> comfy.sd.CLIP:
    """Make ComfyUI's CLIP without weights; newer versions load it whole, because there is no file to stream from.

    Args:
        target: ComfyUI's ClipTarget, network and tokenizer.
        embeddings: folders with textual inversions.
        dtype: of the weights.
    """
    known = inspect.signature(comfy.sd.CLIP.__init__).parameters
    options: dict[str, Any] = {"disable_dynamic": True} if "disable_dynamic" in known else {}
    return comfy.sd.CLIP(target, embedding_directory=embeddings, model_options={"dtype": dtype}, **options)


def remember_dtypes(network: torch.nn.Module) -> None:
    """Update the dtypes that newer ComfyUI versions recorded for each parameter when the network was built."""
    archive = getattr(comfy.model_management, "archive_model_dtypes", None)
    if archive is not None:
        archive(network)


def own_handle(weight: torch.Tensor) -> torch.Tensor:
    """Return the same weight for a patcher to patch.

    GGUF patchers attach their patches to the tensor object, which other clones use too. For them the result is another
    tensor object on the same storage, without patches.
    """
    if not hasattr(weight, "patches"):
        return weight
    handle = copy.copy(weight)
    handle.patches = []  # type: ignore[attr-defined]
    return handle


def as_parameter(weight: torch.Tensor) -> torch.nn.Parameter:
    return weight if isinstance(weight, torch.nn.Parameter) else torch.nn.Parameter(weight, requires_grad=False)


def is_nested(latent: Any) -> bool:
    """True for the nested (multi-part) latents of newer ComfyUI versions."""
    return bool(getattr(latent, "is_nested", False))
