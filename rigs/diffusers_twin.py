"""Compare a null-text concept in ComfyUI with its twin in diffusers."""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn

from gcfg_core.concept.unet_configs import CONFIGS
from rigs.graphs import norm_error
from rigs.null_text import (
    as_denoised,
    authors_unet,
    concept_path,
    denoised_by_concept,
    forget_concepts,
    unet_inputs,
)
from rigs.pack import load_pack


def compare_with_twin(model: Any, twin: nn.Module, config: dict, v: bool = False, **given: object) -> float:
    """Relative error of ComfyUI's prediction against the diffusers twin's, the shared part (the latent) taken off.

    What is ``given`` takes the place of `unet_inputs` for the twin.
    """
    x = torch.randn(2, config["in_channels"], 16, 24, generator=torch.Generator().manual_seed(3)) * 5
    sigma = model.model_sampling.sigma(torch.tensor([100.0, 700.0]))
    inputs = {**unet_inputs(config), **given}
    expected = as_denoised(
        lambda scaled, t: twin(**{**inputs, "sample": scaled, "timestep": t}).sample, model, x, sigma, v
    )
    shared = x / (sigma.view(-1, 1, 1, 1) ** 2 + 1) if v else x
    return norm_error(denoised_by_concept(model, x, sigma) - shared, expected - shared)


def full_size_sd15(folder: Path) -> tuple[int, float]:
    """Write a concept of SD1.5's full size and compare it. It takes 7 GB: run it in a process of its own.

    Returns:
        the number of parameters in ComfyUI, and the relative error against diffusers.
    """
    torch.set_grad_enabled(False)
    path = concept_path(folder, CONFIGS["sd15"])
    forget_concepts()
    model = load_pack().module("nodes.loading.concept_loader").load_model_file(str(path)).model
    parameters = sum(p.numel() for p in model.diffusion_model.parameters())
    return parameters, compare_with_twin(model, authors_unet(CONFIGS["sd15"], load_file(path)), CONFIGS["sd15"])
