"""The same concept file gives the same numbers in diffusers, built as the paper's authors do, and in ComfyUI."""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest
import torch
from safetensors.torch import load_file, save_file

from gcfg_core.concept.concept import Concept
from gcfg_core.concept.concept_file import write_concept
from rigs.diffusers_twin import compare_with_twin, full_size_sd15
from rigs.graphs import norm_error
from rigs.host import enter_host
from rigs.null_text import (
    SMALL,
    WIDE,
    as_denoised,
    authors_unet,
    concept_path,
    make_concept,
    sdxl_constants,
    text_unet,
)

CASES = [
    ("sd15", "epsilon", False),
    ("sd2", "epsilon", False),
    ("sd2", "v_prediction", False),
    ("sdxl", "epsilon", False),
    ("sdxl", "v_prediction", True),
]


@pytest.mark.parametrize("widths", [[64, 96, 96], [96, 64, 32]])
def test_levels_need_be_no_multiples_of_the_first(load_concept, tmp_path, widths):
    levels = {"layers_per_block": 1, "transformer_layers_per_block": 1, "attention_head_dim": 4}
    blocks = {"down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
              "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"]}  # fmt: skip
    config = {**SMALL["sd15"], **levels, **blocks, "block_out_channels": widths}
    path = concept_path(tmp_path, config)
    twin = authors_unet(config, load_file(path))
    assert compare_with_twin(load_concept(path).model, twin, config) <= 1e-4


@pytest.mark.parametrize("name, prediction, zero_snr", CASES)
def test_same_file_gives_the_same_output_in_diffusers_and_here(load_concept, tmp_path, name, prediction, zero_snr):
    config = SMALL[name]
    path = concept_path(tmp_path, config, prediction_type=prediction, zero_terminal_snr=zero_snr)
    twin = authors_unet(config, {key: value for key, value in load_file(path).items() if not key.startswith("gcfg.")})
    model = load_concept(path).model
    assert model.get_dtype() == torch.float32
    error = compare_with_twin(model, twin, config, prediction == "v_prediction")
    print(f"{name} {prediction}: relative error {error:.1e}")
    assert error <= 1e-4
    assert (float(model.model_sampling.sigma_max) > 1000) == zero_snr


@pytest.mark.parametrize("suffix", [".safetensors", ".bin", ".pt"])
@pytest.mark.parametrize("name", list(WIDE))
def test_the_authors_own_files_load(load_concept, tmp_path, suffix, name):
    tensors = dict(make_concept(WIDE[name]).tensors)
    path = tmp_path / f"unet{suffix}"
    (save_file if suffix == ".safetensors" else torch.save)(tensors, path)
    given = {}
    if name == "sdxl":  # a bare file brings no constants: zeros and 1024 x 1024
        ids = torch.tensor([[1024.0, 1024.0, 0.0, 0.0, 1024.0, 1024.0]]).repeat(2, 1)
        given["added_cond_kwargs"] = {"text_embeds": torch.zeros(2, 1280), "time_ids": ids}
    twin = authors_unet(WIDE[name], tensors)
    assert compare_with_twin(load_concept(path).model, twin, WIDE[name], **given) <= 1e-4


@pytest.mark.slow
def test_full_size_sd15_gives_the_same_output(tmp_path):
    with ProcessPoolExecutor(1, get_context("spawn"), initializer=enter_host) as alone:  # it takes 7 GB
        parameters, error = alone.submit(full_size_sd15, tmp_path).result()
    assert parameters == pytest.approx(815.5e6, rel=1e-4)
    print(f"full SD1.5: relative error {error:.1e}")
    assert error <= 1e-4


@pytest.mark.parametrize("name", list(SMALL))
def test_a_text_unet_of_any_size_is_built_from_its_description(load_concept, tmp_path, name):
    config = SMALL[name]
    unet = text_unet(config)
    write_concept(tmp_path / "a.safetensors", Concept(tensors=unet.state_dict(), config=config, kind="unet"))
    model = load_concept(tmp_path / "a.safetensors").model
    x, text = torch.randn(1, 4, 16, 16), torch.randn(1, 7, config["cross_attention_dim"])
    pooled, ids = sdxl_constants()
    sizes = dict(zip(("height", "width", "crop_h", "crop_w", "target_height", "target_width"), ids[0], strict=True))
    conds = model.extra_conds(device="cpu", noise=x, cross_attn=text, pooled_output=pooled, **sizes)
    sigma = model.model_sampling.sigma(torch.tensor([300.0]))
    got = model.apply_model(x, sigma, c_crossattn=text, **({"y": conds["y"].cond} if "y" in conds else {}))
    added = {"text_embeds": pooled, "time_ids": ids}
    expected = as_denoised(
        lambda scaled, t: unet(scaled, t, text, added_cond_kwargs=added).sample, model, x, sigma, False
    )
    assert norm_error(got - x, expected - x) <= 1e-4
