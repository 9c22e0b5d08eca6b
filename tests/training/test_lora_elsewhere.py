"""T2: a LoRA concept is a LoRA for diffusers and PEFT too, with the effect that it has in Load Concept Model."""

from pathlib import Path

import pytest
import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline, StableDiffusionXLPipeline, UNet2DConditionModel
from peft import LoraConfig, get_peft_model_state_dict, inject_adapter_in_model
from safetensors import safe_open
from train_rigs.samples import TINY, TINY_XL, condition, unet

from gcfg_core.concept.lora import LoraConcept, merge_lora
from gcfg_core.concept.lora_file import is_lora_concept, lora_format, read_lora_concept, write_lora_concept
from gcfg_core.concept.metadata import describe
from gcfg_core.concept.unet_configs import CONFIGS
from rigs.lora_concepts import ALPHA, RANK, lora_on_every_layer, with_factors, write_as_version_0_1_0
from training.cli import main

NARROW_XL = {  # all kinds of blocks of SDXL
    **CONFIGS["sdxl"],
    "block_out_channels": [32, 64, 128],
    "attention_head_dim": [1, 2, 4],
    "transformer_layers_per_block": [1, 2, 3],
}
NARROW = {**CONFIGS["sd15"], "block_out_channels": [32, 64, 128, 128]}
NETWORKS = {"small": TINY, "small sdxl": TINY_XL, "sd15": NARROW, "sdxl": NARROW_XL}


def concept_on(config: dict) -> LoraConcept:
    if "addition_embed_type" not in config:
        return lora_on_every_layer(config)
    pooled = config["projection_class_embeddings_input_dim"] - 6 * config["addition_time_embed_dim"]
    return lora_on_every_layer(config, text_embeds=torch.randn(1, pooled), time_ids=torch.ones(1, 6))


def pipeline(network: UNet2DConditionModel) -> StableDiffusionPipeline | StableDiffusionXLPipeline:
    """A pipeline that can load a LoRA, and draw nothing."""
    parts = {"vae": None, "text_encoder": None, "tokenizer": None, "unet": network, "scheduler": DDIMScheduler()}
    if network.config.addition_embed_type is None:
        return StableDiffusionPipeline(
            **parts, safety_checker=None, feature_extractor=None, requires_safety_checker=False
        )
    return StableDiffusionXLPipeline(**parts, text_encoder_2=None, tokenizer_2=None)


@pytest.mark.parametrize("name", NETWORKS)
def test_diffusers_loads_every_layer_with_its_alpha(tmp_path: Path, name: str) -> None:
    config, path = NETWORKS[name], tmp_path / "toons.safetensors"
    lora, network = concept_on(config), unet(0, config)
    write_lora_concept(path, lora)
    expected = with_factors(lora, {key: value.clone() for key, value in network.state_dict().items()})
    pipe = pipeline(network)
    pipe.load_lora_weights(str(path), adapter_name="toons")
    loaded = {layer: module for layer, module in network.named_modules() if hasattr(module, "lora_A")}
    assert sorted(loaded) == lora.layers
    assert {float(module.scaling["toons"]) for module in loaded.values()} == {ALPHA / RANK}
    pipe.fuse_lora()
    pipe.unload_lora_weights()
    for key, value in network.state_dict().items():
        torch.testing.assert_close(value, expected[key], atol=1e-6, rtol=1e-5)


def test_it_has_the_effect_of_the_adapter_that_peft_trains(tmp_path: Path) -> None:
    """PEFT's own adapter on the null-text network, by way of a file: on the text network in diffusers, and merged."""
    trained = unet(0, null_text=True)
    inject_adapter_in_model(LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=["to_q", "to_out.0", "conv1"]), trained)
    for name, value in trained.named_parameters():
        if "lora_" in name:
            value.data.normal_(std=0.2)
    features = {key: value for key, value in trained.state_dict().items() if key.endswith("null_text_feature")}
    lora = LoraConcept(get_peft_model_state_dict(trained), features, TINY, RANK, ALPHA, "the base")
    write_lora_concept(tmp_path / "toons.safetensors", lora)
    network = unet(0)
    pipe = pipeline(network)
    pipe.load_lora_weights(str(tmp_path / "toons.safetensors"))
    theirs = {layer: module for layer, module in trained.named_modules() if hasattr(module, "lora_A")}
    for layer, module in theirs.items():
        delta = network.get_submodule(layer).get_delta_weight("default_0")
        torch.testing.assert_close(delta, module.get_delta_weight("default"), atol=1e-6, rtol=1e-5)
    merged = merge_lora(read_lora_concept(tmp_path / "toons.safetensors"), unet(0).state_dict())
    plain = unet(0, null_text=True)
    plain.load_state_dict(dict(merged.tensors), strict=True)
    x, text = torch.randn(2, 3, 8, 8), condition().repeated(2).hidden_states
    torch.testing.assert_close(plain(x, 300, text).sample, trained(x, 300, text).sample, atol=1e-5, rtol=1e-5)


def test_the_file_holds_what_readers_of_loras_know_alone(tmp_path: Path) -> None:
    lora = concept_on(TINY_XL)
    write_lora_concept(tmp_path / "toons.safetensors", lora)
    with safe_open(str(tmp_path / "toons.safetensors"), "pt") as handle:
        names, told = set(handle.keys()), handle.metadata()
        alphas = [handle.get_tensor(name) for name in names if name.endswith(".alpha")]
    stems = {name.partition(".")[0] for name in names}
    ends = ("lora_down.weight", "lora_up.weight", "alpha")
    assert names == {f"{stem}.{end}" for stem in stems for end in ends} and len(stems) == len(lora.layers)
    assert all(stem.startswith("lora_unet_") for stem in stems)
    assert {(value.item(), value.ndim) for value in alphas} == {(ALPHA, 0)}
    assert told["modelspec.architecture"] == "custom/lora"
    read = read_lora_concept(tmp_path / "toons.safetensors")
    for mine, its in ((lora.factors, read.factors), (lora.features, read.features)):
        assert mine.keys() == its.keys() and all(torch.equal(value, its[key]) for key, value in mine.items())
    assert read.text_embeds.equal(lora.text_embeds) and read.time_ids.equal(lora.time_ids)  # type: ignore[union-attr]


@pytest.mark.parametrize("config", [TINY, TINY_XL], ids=["plain", "sdxl"])
def test_a_file_of_version_0_1_0_is_read_and_converted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], config: dict
) -> None:
    old, new = tmp_path / "old.safetensors", tmp_path / "new.safetensors"
    lora = concept_on(config)
    write_as_version_0_1_0(old, lora)
    assert is_lora_concept(old) and lora_format(old) == 1
    assert (
        main(["inspect", str(old)]) == 0 and "of no other program; `convert IN.safetensors" in capsys.readouterr().out
    )
    assert main(["convert", str(old), str(new), "--title", "Toons"]) == 0
    assert main(["inspect", str(new)]) == 0 and "ComfyUI's Load LoRA" in capsys.readouterr().out
    for path in (old, new):
        read = read_lora_concept(path)
        assert (read.rank, read.alpha, read.base) == (RANK, ALPHA, "the base")
        assert read.factors.keys() == lora.factors.keys() and read.features.keys() == lora.features.keys()
        assert all(torch.equal(value, read.factors[key]) for key, value in lora.factors.items())
        assert all(torch.equal(value, read.features[key]) for key, value in lora.features.items())
        told = describe(read.with_tensors({}), "")
        assert told["gcfg.unet_config"] == describe(lora.with_tensors({}), "")["gcfg.unet_config"]
    assert read_lora_concept(new).title == "Toons" and lora_format(new) == 2
