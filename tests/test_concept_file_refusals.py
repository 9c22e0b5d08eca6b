"""What is not a concept of format 1 is refused, in one line that says what was wrong and what to do."""

import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from gcfg_core.concept.concept_file import is_concept_file, read_concept
from gcfg_core.concept.families import layout_of
from gcfg_core.errors import ConceptFileError
from rigs.null_text import SMALL, WIDE, concept_path, make_concept, metadata_of

SD15, SDXL = SMALL["sd15"], SMALL["sdxl"]


def rewritten(path: Path, tensors: dict | None = None, **metadata: str | None) -> Path:
    """The file with other tensors or metadata (None removes); double underscores stand for dots."""
    changed = {key.replace("__", "."): value for key, value in metadata.items()}
    strings = {key: value for key, value in {**metadata_of(path), **changed}.items() if value is not None}
    save_file(load_file(path) if tensors is None else tensors, path, metadata=strings)
    return path


def test_a_free_text_stands_after_the_name_also_in_another_process():
    error = pickle.loads(pickle.dumps(ConceptFileError.saying("a.safetensors", "A tensor is missing. Copy it again.")))
    assert type(error) is ConceptFileError and str(error) == "a.safetensors: A tensor is missing. Copy it again."
    assert (error.name, error.expected, error.got) == ("a.safetensors", "", "")


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
        ({"gcfg__kind": "null-text-lora"}, "null-text-lora.*together with its base model"),
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
        (less, f"null-text-unet lacks {key}"),
        ({**tensors, text: torch.zeros(128)}, f"{text} is none of them"),
        ({**tensors, key: torch.zeros(1, 1, 127)}, rf"{key} of shape \[1, 1, 128\], got shape \[1, 1, 127\]"),
        ({**tensors, key: torch.zeros(1, 1, 128, dtype=torch.int8)}, "int8"),
    ):
        with pytest.raises(ConceptFileError, match=message):
            read_concept(rewritten(path, changed))


def test_sdxl_without_its_constants_is_refused(tmp_path):
    path = concept_path(tmp_path, SDXL)
    tensors = {key: value for key, value in load_file(path).items() if key != "gcfg.time_ids"}
    with pytest.raises(ConceptFileError, match="SDXL constants lacks gcfg.time_ids"):
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
        ("absent.safetensors", "no file of this name"),
        ("absent.pt", "no file of this name"),
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
