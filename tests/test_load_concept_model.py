"""Load Concept Model on a real ComfyUI: the same numbers as diffusers, a MODEL like any other, clear refusals."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from rigs.null_text import SMALL, as_denoised, authors_unet, concept_path, unet_inputs
from rigs.pack import Pack

CASES = [
    ("sd15", "epsilon", False),
    ("sd2", "epsilon", False),
    ("sd2", "v_prediction", False),
    ("sdxl", "epsilon", False),
    ("sdxl", "v_prediction", True),
]


def load(pack: Pack, path: Path, weight_dtype: str = "default"):
    return pack.module("nodes.runtime.concept_loader").load_model_file(str(path), weight_dtype)


def relative_error(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a.double() - b.double()).norm() / b.double().norm())


@pytest.mark.parametrize("name, prediction, zero_snr", CASES)
def test_same_file_gives_the_same_output_in_diffusers_and_here(pack, tmp_path, name, prediction, zero_snr):
    config = SMALL[name]
    path = concept_path(tmp_path, config, prediction_type=prediction, zero_terminal_snr=zero_snr)
    tensors = load_file(path)
    theirs = authors_unet(config, {key: value for key, value in tensors.items() if not key.startswith("gcfg.")})
    model = load(pack, path).model
    assert model.get_dtype() == torch.float32

    x = torch.randn(2, 4, 16, 24, generator=torch.Generator().manual_seed(3)) * 5
    sigma = model.model_sampling.sigma(torch.tensor([100.0, 700.0]))
    inputs = {key: value for key, value in unet_inputs(config).items() if key not in ("sample", "timestep")}
    expected = as_denoised(
        lambda scaled, t: theirs(scaled, t, **inputs).sample, model, x, sigma, prediction == "v_prediction"
    )
    conds = model.extra_conds(device="cpu", noise=x, cross_attn=torch.randn(1, 77, 99))
    y = {"y": conds["y"].cond.repeat(2, 1)} if "y" in conds else {}
    got = model.apply_model(x, sigma, c_crossattn=torch.randn(2, 77, 99), **y)
    error = relative_error(got, expected)
    print(f"{name} {prediction}: relative error {error:.2e}")
    assert error <= 1e-4
