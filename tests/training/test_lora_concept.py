"""LoRA concepts: written from PEFT's own adapters, merged as PEFT merges, refused when wrong."""

import base64
import dataclasses

import pytest
import torch
from peft import LoraConfig, get_peft_model_state_dict
from safetensors import safe_open
from safetensors.torch import save, save_file
from train_rigs.samples import TINY, TINY_XL, condition, unet

from gcfg_core.concept.concept_file import is_concept_file, read_concept, write_concept
from gcfg_core.concept.lora import DOWN, LoraConcept, lora_delta, merge_lora
from gcfg_core.concept.lora_file import is_lora_concept, read_lora_concept, write_lora_concept
from gcfg_core.concept.null_text import remove_text_attention
from gcfg_core.errors import ConceptFileError

TARGETS = ["to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj", "conv1", "proj_in"]
RANK, ALPHA = 3, 6.0
FOREIGN = base64.b64encode(save({"conv_in.bias": torch.zeros(2)})).decode()


def adapted(config: dict = TINY):
    """A null-text UNet with a PEFT adapter of random factors on it."""
    made = unet(0, config, null_text=True)
    made.add_adapter(LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=TARGETS))
    torch.manual_seed(3)
    for name, value in made.named_parameters():
        if "lora_" in name:
            value.data.normal_(std=0.2)
    return made


def features(network) -> dict[str, torch.Tensor]:
    return {key: value for key, value in network.state_dict().items() if key.endswith("null_text_feature")}


def lora_of(network, config: dict = TINY, **fields) -> LoraConcept:
    told = condition(7, config=config)
    constants = {} if told.pooled is None else {"text_embeds": told.pooled, "time_ids": told.time_ids}
    return LoraConcept(
        get_peft_model_state_dict(network), features(network), config, RANK, ALPHA, "tiny base (sha256 ab)",
        **{**constants, **fields},
    )  # fmt: skip


@pytest.mark.parametrize("config", [TINY, TINY_XL], ids=["plain", "sdxl"])
def test_merged_weights_are_those_of_peft(tmp_path, config):
    network = adapted(config)
    path = tmp_path / "toons.safetensors"
    write_lora_concept(
        path, lora_of(network, config, prediction_type="v_prediction", training={"steps": 5}, title="Toons")
    )
    assert is_concept_file(path) and is_lora_concept(path)
    lora = read_lora_concept(path)
    assert (lora.rank, lora.alpha, lora.title, lora.training) == (RANK, ALPHA, "Toons", {"steps": 5})
    merged = merge_lora(lora, unet(0, config).state_dict())
    network.fuse_lora()
    network.unload_lora()
    theirs = network.state_dict()
    assert set(merged.tensors) == set(theirs)
    assert max(float((merged.tensors[key] - theirs[key]).abs().max()) for key in theirs) < 1e-6
    assert merged.null_text and merged.prediction_type == "v_prediction"
    write_concept(tmp_path / "whole.safetensors", merged)
    assert read_concept(tmp_path / "whole.safetensors").base == "tiny base (sha256 ab)"


def test_the_merged_network_predicts_as_the_adapted_one(tmp_path):
    network = adapted()
    x, text = torch.randn(2, 3, 8, 8), torch.zeros(2, 1, 16)
    before = network(x, 300, text).sample
    merged = merge_lora(lora_of(network), unet(0).state_dict())
    plain = remove_text_attention(unet(0))
    plain.load_state_dict(dict(merged.tensors), strict=True)
    torch.testing.assert_close(plain(x, 300, text).sample, before, atol=1e-5, rtol=1e-5)


def test_the_file_is_small_and_says_what_it_is(tmp_path):
    path = tmp_path / "toons.safetensors"
    write_lora_concept(path, lora_of(adapted()), {"modelspec.description": "drawn faces"})
    with safe_open(str(path), "pt") as handle:
        told = handle.metadata()
        assert all(key.startswith("lora_unet_") for key in handle.keys())  # noqa: SIM118
    assert told["gcfg.kind"] == "null-text-lora" and told["gcfg.format"] == "2"
    assert told["gcfg.lora_rank"] == "3" and told["gcfg.lora_alpha"] == "6.0"
    assert told["modelspec.architecture"] == "custom/lora" and told["modelspec.description"] == "drawn faces"
    assert list(tmp_path.iterdir()) == [path]


def test_read_concept_says_what_it_is(tmp_path):
    path = tmp_path / "toons.safetensors"
    write_lora_concept(path, lora_of(adapted()))
    with pytest.raises(ConceptFileError, match="null-text-lora.*together with its base model"):
        read_concept(path)


def test_a_whole_concept_is_no_lora(tmp_path):
    path = tmp_path / "whole.safetensors"
    write_concept(path, merge_lora(lora_of(adapted()), unet(0).state_dict()))
    assert not is_lora_concept(path)
    with pytest.raises(ConceptFileError, match="expected null-text-lora"):
        read_lora_concept(path)


def changed(lora: LoraConcept, case: str) -> LoraConcept:
    factors, constants = dict(lora.factors), dict(lora.features)
    first = next(key for key in factors if key.endswith(DOWN))
    if case == "rank":
        return dataclasses.replace(lora, rank=4)
    if case == "half":
        del factors[first]
    elif case == "foreign":
        factors["down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_q.lora_A.weight"] = torch.zeros(3, 32)
    elif case == "other name":
        factors["lora_unet_x.alpha"] = torch.zeros(1)
    elif case == "norm":
        factors["conv_norm_out.lora_A.weight"] = torch.zeros(3, 32)
    elif case == "nan":
        factors[first] = torch.full_like(factors[first], torch.nan)
    elif case == "none":
        factors = {}
    else:
        constants.popitem()
    return dataclasses.replace(lora, factors=factors, features=constants)


@pytest.mark.parametrize(
    "case, message",
    [("rank", r"lora_A.weight of shape \[4, .*got shape \[3, "), ("half", r"lacks \S+lora_A.weight"),
     ("foreign", "attn2.to_q"), ("other name", "lora_unet_x.alpha"),
     ("norm", "linear layers and convolutions"), ("nan", "finite"),
     ("none", "at least one"), ("feature", r"lacks \S+null_text_feature")],
)  # fmt: skip
def test_what_is_wrong_is_refused(tmp_path, case, message):
    path = tmp_path / "toons.safetensors"
    with pytest.raises(ConceptFileError, match=message) as caught:
        write_lora_concept(path, changed(lora_of(adapted()), case))
    assert "\n" not in str(caught.value) and not path.exists()


@pytest.mark.parametrize(
    "changes, message",
    [({"gcfg.lora_rank": "x"}, "gcfg.lora_rank: expected a whole number"), ({"gcfg.lora_rank": "2"}, r"\[2, "),
     ({"gcfg.lora_alpha": "nan"}, "gcfg.lora_alpha: expected a number"), ({"gcfg.format": "3"}, "newer format"),
     ({"gcfg.lora_alpha": "3"}, r"\.alpha: expected 3 as in gcfg.lora_alpha, got 6"),
     ({"gcfg.constants": ""}, "The null-text constants are missing"),
     ({"gcfg.constants": "%"}, "The null-text constants cannot be read"),
     ({"gcfg.constants": "AAAA"}, "The null-text constants cannot be read"),
     ({"gcfg.constants": FOREIGN}, "expected only the null-text constants, got conv_in.bias"),
     ({"gcfg.unet_config": "{"}, "JSON")],
)  # fmt: skip
def test_wrong_metadata_is_refused(tmp_path, changes, message):
    path, spoiled = tmp_path / "toons.safetensors", tmp_path / "spoiled.safetensors"
    write_lora_concept(path, lora_of(adapted()))
    with safe_open(str(path), "pt") as handle:
        tensors = {key: handle.get_tensor(key) for key in handle.keys()}  # noqa: SIM118
        save_file(tensors, spoiled, {**handle.metadata(), **changes})
    with pytest.raises(ConceptFileError, match=message):
        read_lora_concept(spoiled)


@pytest.mark.parametrize(
    "name, value, message",
    [("alpha", None, r"lacks tensor lora_unet_\w+\.alpha"),
     ("alpha", torch.zeros(2), r"alpha: expected 6 as in gcfg.lora_alpha, got shape \[2\]"),
     ("lora_down.weight", None, r"lacks \S+lora_A.weight"),
     ("lora_mid.weight", torch.zeros(3, 3), "lora_mid.weight"), ("other", torch.zeros(1), "other")],
)  # fmt: skip
def test_wrong_tensors_are_refused(tmp_path, name, value, message):
    path, spoiled = tmp_path / "toons.safetensors", tmp_path / "spoiled.safetensors"
    write_lora_concept(path, lora_of(adapted()))
    with safe_open(str(path), "pt") as handle:
        tensors = {key: handle.get_tensor(key) for key in handle.keys()}  # noqa: SIM118
        stem = next(iter(tensors)).partition(".")[0]
        tensors[f"{stem}.{name}"] = value
        save_file({key: value for key, value in tensors.items() if value is not None}, spoiled, handle.metadata())
    with pytest.raises(ConceptFileError, match=message):
        read_lora_concept(spoiled)


def test_another_base_is_refused():
    other = unet(0, {**TINY, "block_out_channels": [32, 96]}).state_dict()
    with pytest.raises(ConceptFileError, match="base model: expected the network of tiny base"):
        merge_lora(lora_of(adapted()), other)


def test_the_base_stays_as_it_is():
    base = unet(0).state_dict()
    before = {key: value.clone() for key, value in base.items()}
    merge_lora(lora_of(adapted()), base)
    assert all(torch.equal(base[key], value) for key, value in before.items())


def test_a_convolutions_factors_are_two_convolutions():
    down, up, x = torch.randn(2, 5, 3, 3), torch.randn(7, 2, 1, 1), torch.randn(1, 5, 6, 6)
    twice = torch.conv2d(torch.conv2d(x, down, padding=1), up)
    torch.testing.assert_close(torch.conv2d(x, lora_delta(down, up, 2.0), padding=1), 2.0 * twice, atol=1e-4, rtol=1e-4)
