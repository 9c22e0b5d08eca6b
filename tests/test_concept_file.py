"""Concept checkpoint, format 1: what is written comes back, and nothing else is taken for a concept."""

import dataclasses
import json
import os
import pickle
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from gcfg_core import concept_file
from gcfg_core.architectures import CONFIGS, architecture_of, guess_prediction_type, infer_config
from gcfg_core.concept_error import ConceptFileError
from gcfg_core.concept_file import is_concept_file, read_concept, write_concept
from gcfg_core.unet_layout import layout_of
from gcfg_core.unet_tensors import tensor_shapes
from rigs.null_text import SMALL, WIDE, concept_path, make_concept, sdxl_constants

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


def metadata_of(path: Path) -> dict[str, str]:
    with safe_open(path, framework="pt") as handle:
        return dict(handle.metadata())


def rewritten(path: Path, tensors: dict | None = None, **metadata: str | None) -> Path:
    """The file with other tensors or metadata (None removes); double underscores stand for dots."""
    changed = {key.replace("__", "."): value for key, value in metadata.items()}
    strings = {key: value for key, value in {**metadata_of(path), **changed}.items() if value is not None}
    save_file(load_file(path) if tensors is None else tensors, path, metadata=strings)
    return path


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

    monkeypatch.setattr(concept_file, "save_file", fail)
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


# ---- what is refused ----


@pytest.mark.parametrize("version", ["2", "3.1"])
def test_a_newer_format_is_refused(tmp_path, version):
    path = rewritten(concept_path(tmp_path, SD15), gcfg__format=version)
    with pytest.raises(ConceptFileError, match=f"newer format {version}.*Update this node pack"):
        read_concept(path)


def test_a_later_minor_format_is_read(tmp_path):
    assert read_concept(rewritten(concept_path(tmp_path, SD15), gcfg__format="1.4")).kind == "null-text-unet"


@pytest.mark.parametrize(
    "change, message",
    [
        ({"gcfg__kind": "null-text-lora"}, "null-text-lora.*not supported by this version"),
        ({"gcfg__kind": "poem"}, "gcfg.kind.*'poem'"),
        ({"gcfg__format": "one"}, "gcfg.format.*'one'"),
        ({"gcfg__unet_config": None}, "gcfg.unet_config.*JSON"),
        ({"gcfg__unet_config": "{"}, "gcfg.unet_config.*JSON"),
        ({"gcfg__architecture": "sd15"}, "the network of sd15"),
        ({"gcfg__architecture": "flux"}, "gcfg.architecture.*'flux'"),
        ({"gcfg__prediction_type": "x0"}, "gcfg.prediction_type.*'x0'"),
        ({"gcfg__zero_terminal_snr": "perhaps"}, "zero_terminal_snr.*'perhaps'"),
        ({"gcfg__training": "[1]"}, "gcfg.training.*JSON"),
    ],
)
def test_metadata_that_format_1_does_not_know_is_refused(tmp_path, change, message):
    with pytest.raises(ConceptFileError, match=message):
        read_concept(rewritten(concept_path(tmp_path, SD15), **change))


def test_missing_unexpected_and_misshapen_tensors_are_named(tmp_path):
    path = concept_path(tmp_path, SD15)
    tensors = load_file(path)
    key = "mid_block.attentions.0.transformer_blocks.0.attn2.null_text_feature"
    text = "mid_block.attentions.0.transformer_blocks.0.norm2.weight"
    less = {name: value for name, value in tensors.items() if name != key}
    for changed, message in (
        (less, f"expected tensor {key}, got a file without"),
        ({**tensors, text: torch.zeros(128)}, f"unexpected {text}"),
        ({**tensors, key: torch.zeros(1, 1, 127)}, rf"{key} of shape \[1, 1, 128\], got shape \[1, 1, 127\]"),
        ({**tensors, key: torch.zeros(1, 1, 128, dtype=torch.int8)}, "int8"),
    ):
        with pytest.raises(ConceptFileError, match=message):
            read_concept(rewritten(path, changed))


def test_sdxl_without_its_constants_is_refused(tmp_path):
    path = concept_path(tmp_path, SDXL)
    tensors = {key: value for key, value in load_file(path).items() if key != "gcfg.time_ids"}
    with pytest.raises(ConceptFileError, match=r"gcfg.time_ids \[1, 6\]"):
        read_concept(rewritten(path, tensors))


@pytest.mark.parametrize("share", [0.0, 0.0001, 0.5, 0.999])
@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_a_truncated_file_is_refused(tmp_path, suffix, share):
    path = tmp_path / f"a{suffix}"
    (save_file if suffix == ".safetensors" else torch.save)(dict(make_concept(WIDE["sd15"]).tensors), path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    for read in (read_concept, is_concept_file):
        with pytest.raises(ConceptFileError, match="incomplete or damaged") as caught:
            read(path)
        assert caught.value.name == path.name and "\n" not in str(caught.value)


class _Attack:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_pickle_that_needs_code_is_refused_and_not_run(tmp_path):
    victim = tmp_path / "victim"
    torch.save({"conv_in.weight": torch.zeros(1), "more": _Attack(victim)}, tmp_path / "a.pt")
    (tmp_path / "b.bin").write_bytes(pickle.dumps({"x": _Attack(victim)}))
    torch.save({"x": os.system}, tmp_path / "c.pt")
    for name in ("a.pt", "b.bin", "c.pt"):
        with pytest.raises(ConceptFileError, match="pickle that needs code.*not run.*safetensors") as caught:
            read_concept(tmp_path / name)
        assert "\n" not in str(caught.value) and not victim.exists()


def test_foreign_files_are_not_concepts(tmp_path):
    vae = {"decoder.conv_in.weight": torch.zeros(4, 4, 3, 3), "quant_conv.bias": torch.zeros(8)}
    save_file(vae, tmp_path / "vae.safetensors")
    torch.save([1, 2, 3], tmp_path / "list.pt")
    for name in ("text.safetensors", "text.pt"):
        (tmp_path / name).write_text("not a model at all, but a text of some length")
    assert not is_concept_file(tmp_path / "vae.safetensors")
    for name, message in (
        ("vae.safetensors", "a UNet in diffusers' names.*decoder.conv_in.weight"),
        ("list.pt", "state dict of tensors, got list"),
        ("text.safetensors", "incomplete or damaged"),
        ("text.pt", "incomplete or damaged"),
        ("absent.safetensors", "nothing there"),
        ("absent.pt", "nothing there"),
    ):
        with pytest.raises(ConceptFileError, match=message):
            read_concept(tmp_path / name)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"act_fn": "gelu"}, "unet_config.act_fn: expected 'silu', got 'gelu'"),
        ({"class_embed_type": "timestep"}, "class_embed_type"),
        ({"some_new_key": 7}, "some_new_key"),
        ({"block_out_channels": [32, 100, 128, 128]}, "multiples of 32, got 100"),
        ({"attention_head_dim": 7}, "number of heads that divides 32, got 7"),
        ({"block_out_channels": None}, "block_out_channels"),
        ({"layers_per_block": [2, 2]}, "layers_per_block.*4 levels"),
        ({"down_block_types": ["DownBlock2D"]}, "down_block_types: expected 4"),
        ({"up_block_types": ["UpBlock2D"] * 3 + ["SkipUpBlock2D"]}, "SkipUpBlock2D"),
        ({"mid_block_type": "Other"}, "mid_block_type"),
        ({"addition_embed_type": "image"}, "addition_embed_type"),
        ({"transformer_layers_per_block": 0}, "transformer_layers_per_block"),
        ({"in_channels": True}, "in_channels"),
    ],
)
def test_a_network_outside_the_family_is_refused_by_its_key(change, message):
    with pytest.raises(ConceptFileError, match=message):
        layout_of({**SD15, **change})


def test_keys_that_change_nothing_are_accepted():
    noise = {"_class_name": "UNet2DConditionModel", "act_fn": "silu", "dual_cross_attention": False, "new": None}
    assert layout_of({**SD15, **noise}) == layout_of(SD15)
