"""Concept checkpoint, format 1: what is written comes back, and nothing else is taken for a concept."""

import dataclasses
import json
import os
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import save_file

from gcfg_core.concept import tensor_file
from gcfg_core.concept.concept_file import is_concept_file, read_concept, write_concept
from gcfg_core.concept.families import architecture_of, guess_prediction_type, layout_of
from gcfg_core.concept.unet_configs import CONFIGS, infer_config
from gcfg_core.concept.unet_tensors import tensor_shapes
from gcfg_core.errors import ConceptFileError
from rigs.null_text import SMALL, WIDE, concept_path, make_concept, metadata_of, sdxl_constants

SD15, SDXL = SMALL["sd15"], SMALL["sdxl"]
ASYMMETRIC = {  # as SSD-1B: no attention in the middle, other depths on the way up
    **SDXL,
    "mid_block_type": "UNetMidBlock2D",
    "transformer_layers_per_block": [1, [2, 2], [3, 3]],
    "reverse_transformer_layers_per_block": [[3, 3, 1], [2, 1, 1], 1],
}


@pytest.fixture(scope="module")
def concept():
    return make_concept(SD15, prediction_type="v_prediction", zero_terminal_snr=True, base="a base", title="A title",
                        training={"steps": 3, "seed": None})  # fmt: skip


def test_what_is_written_is_read_again(tmp_path, concept):
    path = tmp_path / "a.safetensors"
    write_concept(path, concept, {"modelspec.description": "what it is"})
    again = read_concept(path)
    for field in dataclasses.fields(concept):
        if field.name not in ("tensors", "latent_format"):
            assert getattr(again, field.name) == getattr(concept, field.name), field.name
    assert again.latents == concept.latents == "SD15"
    assert set(again.tensors) == set(concept.tensors)
    assert all(torch.equal(again.tensors[key], value) for key, value in concept.tensors.items())
    assert metadata_of(path)["modelspec.description"] == "what it is"
    assert is_concept_file(path) and [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]


def test_views_and_shared_tensors_are_written(tmp_path, concept):
    tensors = dict(concept.tensors)
    whole = torch.randn(2, 32)
    tensors["conv_norm_out.weight"] = whole[1]
    tensors["conv_norm_out.bias"] = tensors["conv_in.bias"] = whole[0].clone()
    tensors["conv_out.weight"] = torch.randn(32, 4, 3, 3).transpose(0, 1)
    write_concept(tmp_path / "a.safetensors", dataclasses.replace(concept, tensors=tensors))
    again = read_concept(tmp_path / "a.safetensors").tensors
    assert all(torch.equal(again[key], value) for key, value in tensors.items())


def test_sdxl_keeps_its_constants(tmp_path):
    pooled, ids = sdxl_constants()
    again = read_concept(concept_path(tmp_path, SDXL))
    assert torch.equal(again.text_embeds, pooled) and torch.equal(again.time_ids, ids)
    assert again.latents == "SDXL" and not [key for key in again.tensors if key.startswith("gcfg.")]


def test_metadata_is_strings_that_say_what_the_file_is(tmp_path, concept):
    path = tmp_path / "a.safetensors"
    write_concept(path, concept)
    found = metadata_of(path)
    assert found["gcfg.format"] == "1" and found["gcfg.kind"] == "null-text-unet"
    assert found["gcfg.architecture"] == "custom" and found["gcfg.latent_format"] == "SD15"
    assert found["gcfg.prediction_type"] == "v_prediction" and found["gcfg.zero_terminal_snr"] == "true"
    assert json.loads(found["gcfg.unet_config"]) == SD15
    assert json.loads(found["gcfg.training"]) == {"steps": 3, "seed": None}
    assert found["modelspec.title"] == "A title" and found["modelspec.prediction_type"] == "v"
    assert found["modelspec.sai_model_spec"] == "1.0.0" and found["modelspec.architecture"] == "custom/null-text-unet"


def test_an_interrupted_write_leaves_the_old_file(tmp_path, concept, monkeypatch):
    path = tmp_path / "a.safetensors"
    write_concept(path, concept)
    before = path.read_bytes()

    def fail(tensors, target, metadata):
        Path(target).write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(tensor_file, "save_file", fail)
    with pytest.raises(OSError, match="no space"):
        write_concept(path, concept)
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]


def test_nothing_wrong_is_written(tmp_path, concept):
    tensors = dict(concept.tensors)
    tensors.pop("conv_in.bias")
    with pytest.raises(ConceptFileError, match="conv_in.bias"):
        write_concept(tmp_path / "a.safetensors", dataclasses.replace(concept, tensors=tensors))
    with pytest.raises(ConceptFileError, match="ends in .safetensors"):
        write_concept(tmp_path / "a.pt", concept)
    assert not list(tmp_path.iterdir())


# ---- files without metadata: the authors' ----


@pytest.mark.parametrize("suffix", [".safetensors", ".bin", ".pt"])
@pytest.mark.parametrize("name", list(WIDE))
def test_a_bare_null_text_state_dict_is_understood(tmp_path, suffix, name):
    made = make_concept(WIDE[name])
    path = tmp_path / f"a{suffix}"
    (save_file if suffix == ".safetensors" else torch.save)(dict(made.tensors), path)
    found = read_concept(path)
    assert is_concept_file(path) and found.kind == "null-text-unet"
    assert layout_of(found.config) == layout_of(WIDE[name]) and found.prediction_type == "epsilon"
    assert all(torch.equal(found.tensors[key], value) for key, value in made.tensors.items())
    assert any("network" in line for line in found.assumptions)
    if name == "sdxl":
        assert torch.equal(found.text_embeds, torch.zeros(1, 1280)) and found.time_ids.tolist()[0][:2] == [1024, 1024]
        assert any("pooled" in line for line in found.assumptions)


def test_a_state_dict_inside_a_checkpoint_is_found(tmp_path):
    made = make_concept(WIDE["sd15"])
    torch.save({"state_dict": dict(made.tensors), "step": 3}, tmp_path / "a.pt")
    assert set(read_concept(tmp_path / "a.pt").tensors) == set(made.tensors)


def test_unknown_head_counts_are_refused_unless_told(tmp_path):
    path = tmp_path / "a.safetensors"
    save_file(dict(make_concept(SD15).tensors), path)
    with pytest.raises(ConceptFileError, match="attention heads.*base width 32.*--config"):
        read_concept(path)
    assert layout_of(read_concept(path, SD15).config) == layout_of(SD15)


@pytest.mark.parametrize("config", [*CONFIGS.values(), *SMALL.values(), *WIDE.values(), ASYMMETRIC])
def test_tensors_are_named_and_shaped_as_in_diffusers(config):
    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(config)
    real = {key: tuple(value.shape) for key, value in unet.state_dict().items()}
    assert tensor_shapes(layout_of(config), null_text=False) == real
    for null_text in (False, True):
        if config["block_out_channels"][0] == 320:
            assert layout_of(infer_config(tensor_shapes(layout_of(config), null_text))) == layout_of(config)


def test_architectures_are_named():
    assert [architecture_of(CONFIGS[name]) for name in CONFIGS] == list(CONFIGS)
    assert {architecture_of(config) for config in (*SMALL.values(), *WIDE.values())} == {"custom"}


@pytest.mark.parametrize("spread, expected", [(0.2, "v_prediction"), (0.05, "epsilon")])
def test_sd2_prediction_type_is_told_by_its_last_norm(spread, expected):
    key = "up_blocks.3.attentions.2.transformer_blocks.0.norm1.bias"
    tensors = {key: torch.tensor([spread, -spread])}
    assert guess_prediction_type(CONFIGS["sd2"], tensors) == expected
    assert guess_prediction_type(CONFIGS["sd15"], tensors) == "epsilon"
    assert guess_prediction_type(CONFIGS["sdxl"], {"v_pred": torch.tensor([])}) == "v_prediction"


@pytest.mark.skipif(os.name == "nt", reason="permissions of files are POSIX's")
def test_a_file_can_be_read_by_whom_the_user_lets(tmp_path, concept):
    """As any file that the user makes: ComfyUI may run as somebody else."""
    (tmp_path / "any").touch()
    write_concept(tmp_path / "a.safetensors", concept)
    assert (tmp_path / "a.safetensors").stat().st_mode == (tmp_path / "any").stat().st_mode
