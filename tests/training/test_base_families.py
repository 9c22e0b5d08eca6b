"""A file of another kind is called by its name, with what loads it (case T18)."""

import json
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from safetensors.torch import save_file
from train_rigs.bases import SINGLE_FILE_WIDTH, tiny_base

from gcfg_core.concept.file_kinds import kind_of
from gcfg_core.errors import InputError
from training.base.read import read_base
from training.cli import main

ONE = {"num_layers": 1}
# diffusers' own classes, with settings that keep them small.
CLASSES: dict[str, tuple[str, dict[str, Any]]] = {
    "FluxTransformer2DModel": ("a Flux model", {**ONE, "num_single_layers": 1}),
    "Flux2Transformer2DModel": ("a Flux.2 model", {**ONE, "num_single_layers": 1}),
    "ChromaTransformer2DModel": ("a Chroma model", {**ONE, "num_single_layers": 1}),
    "SD3Transformer2DModel": ("a Stable Diffusion 3 model", {"num_layers": 2}),
    "AuraFlowTransformer2DModel": ("an AuraFlow model", {"num_mmdit_layers": 1, "num_single_dit_layers": 1}),
    "WanTransformer3DModel": ("a Wan model", ONE),
    "QwenImageTransformer2DModel": ("a Qwen-Image model", ONE),
    "ZImageTransformer2DModel": ("a Z-Image model", {}),
    "Lumina2Transformer2DModel": ("a Lumina 2 model", ONE),
    "HunyuanVideoTransformer3DModel": ("a HunyuanVideo model", {**ONE, "num_single_layers": 1}),
    "LTXVideoTransformer3DModel": ("an LTX-Video model", ONE),
    "MochiTransformer3DModel": ("a Mochi model", {"num_layers": 2}),
    "CogVideoXTransformer3DModel": ("a CogVideoX model", ONE),
    "PixArtTransformer2DModel": ("a PixArt model", ONE),
    "SanaTransformer2DModel": ("a Sana model", ONE),
    "StableCascadeUNet": ("a Stable Cascade model", {}),
    "UNetSpatioTemporalConditionModel": ("a Stable Video Diffusion model", {}),
    "ControlNetModel": ("a ControlNet", {}),
    "FluxControlNetModel": ("a ControlNet", {**ONE, "num_single_layers": 1}),
    "SD3ControlNetModel": ("a ControlNet", {"num_layers": 2}),
    "MotionAdapter": ("an AnimateDiff motion module", {}),
    "AutoencoderKL": ("a VAE", {}),
    "AutoencoderTiny": ("a VAE", {}),
    "AutoencoderKLWan": ("a VAE", {}),
}


def made(name: str, settings: dict[str, Any]) -> dict[str, torch.Tensor]:
    """The class's tensors, each cut to one number: their names are what counts."""
    kind = getattr(diffusers, name, None)
    if kind is None:
        pytest.skip(f"this diffusers has no {name}")
    with torch.device("meta"):
        names = list(kind(**settings).state_dict())
    return {key: torch.zeros(1) for key in names}


@pytest.mark.parametrize("name", CLASSES)
def test_diffusers_own_models_are_named(name: str, tmp_path: Path) -> None:
    """T18: as files, by the trainer and by `inspect`, with what loads them."""
    kind, settings = CLASSES[name]
    tensors = made(name, settings)
    found = kind_of(tensors)
    assert found is not None and found.name == kind
    path = tmp_path / "file.safetensors"
    save_file(tensors, path)
    with pytest.raises(InputError, match=f"got {kind}\\. .*loads it"):
        read_base(str(path))


def test_a_unet_of_stable_diffusion_is_none_of_them(tmp_path: Path) -> None:
    tiny = tiny_base("sdxl", tmp_path / "tokenizers", SINGLE_FILE_WIDTH)
    assert kind_of(tiny.pipeline.unet.state_dict()) is None


@pytest.mark.parametrize(
    ("name", "kind", "remedy"),
    [
        ("lora_unet_down_blocks_0_attentions_0.lora_up.weight", "a LoRA", "LoRA Loader . Guidance Term"),
        ("lora_te1_text_model_encoder_layers_0.lora_down.weight", "a LoRA", "Guidance Term"),
        ("unet.down_blocks.0.attentions.0.to_q.lora_A.weight", "a LoRA", "Guidance Term"),
        ("diffusion_model.double_blocks.0.img_attn.qkv.lora_B.weight", "a LoRA", "Guidance Term"),
        ("transformer.single_transformer_blocks.0.attn.to_q.lora_A.default.weight", "a LoRA", "Guidance Term"),
        ("lora_unet_input_blocks_1_1.hada_w1_a", "a LoRA", "Guidance Term"),
        ("lycoris_unet_input_blocks_1_1.lokr_w1", "a LoRA", "Guidance Term"),
        ("mid_block.attentions.0.processor.to_q_lora.up.weight", "a LoRA", "Guidance Term"),
        ("control_model.input_blocks.0.0.weight", "a ControlNet", "Load ControlNet Model"),
        ("lora_controlnet", "a ControlNet", "Load ControlNet Model"),
        ("adapter.body.0.block1.weight", "a ControlNet", "Load ControlNet Model"),
        ("ip_adapter.1.to_k_ip.weight", "an IP-Adapter", "IP-Adapter node"),
        ("vision_model.encoder.layers.0.layer_norm1.weight", "a CLIP vision encoder", "Load CLIP Vision"),
        ("text_model.encoder.layers.0.mlp.fc1.weight", "a text encoder", "Load CLIP"),
        ("encoder.block.0.layer.0.SelfAttention.k.weight", "a text encoder", "Load CLIP"),
        ("model.layers.0.post_attention_layernorm.weight", "a text encoder", "Load CLIP"),
        ("decoder.middle.0.residual.0.gamma", "a VAE", "Load VAE"),
        ("taesd_decoder.1.weight", "a VAE", "Load VAE"),
        ("first_stage_model.decoder.conv_in.weight", "a VAE", "--vae"),
        ("emb_params", "a textual inversion", "embeddings"),
    ],
)
def test_other_kinds_are_named(name: str, kind: str, remedy: str, tmp_path: Path) -> None:
    """T18: with the node that loads each."""
    save_file({name: torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match=f"got {kind}\\. .*{remedy}"):
        read_base(str(tmp_path / "other.safetensors"))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("model.diffusion_model.input_blocks.1.0.time_stack.emb_layers.1.bias", "a Stable Video Diffusion model"),
        ("cc_projection.weight", "a Stable Zero123 model"),
        ("embedder.model.visual.conv1.weight", "an unCLIP model"),
        ("conditioner.embedders.0.model.transformer.resblocks.0.ln_1.weight", "an SDXL refiner"),
    ],
)
def test_relatives_of_stable_diffusion_are_named(name: str, kind: str, tmp_path: Path) -> None:
    """T18: they have the same UNet's names and more."""
    tensors = {"model.diffusion_model.input_blocks.0.0.weight": torch.zeros(1), name: torch.zeros(1)}
    save_file(tensors, tmp_path / "relative.safetensors")
    with pytest.raises(InputError, match=f"got {kind}.*Load Checkpoint"):
        read_base(str(tmp_path / "relative.safetensors"))


def test_a_pipelines_folder_of_another_family(tmp_path: Path) -> None:
    """T18: by the class in model_index.json; one part alone by its own."""
    (tmp_path / "transformer").mkdir()
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": "FluxPipeline"}), encoding="utf-8")
    with pytest.raises(InputError, match="got a FluxPipeline without unet/. Only SD1.5, SD2 and SDXL"):
        read_base(str(tmp_path))
    (tmp_path / "transformer" / "config.json").write_text('{"_class_name": "FluxTransformer2DModel"}', encoding="utf-8")
    with pytest.raises(InputError, match=r"only one part of it \(FluxTransformer2DModel\)"):
        read_base(str(tmp_path / "transformer"))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("img_in.weight double_blocks.0.img_attn.norm.key_norm.scale", ["a Flux model", "Load Diffusion Model"]),
        ("joint_blocks.0.context_block.attn.qkv.weight", ["a Stable Diffusion 3 model"]),
        ("lora_unet_x.lora_up.weight", ["a LoRA", "LoRA Loader + Guidance Term"]),
        ("model.diffusion_model.input_blocks.0.0.weight", ["a Stable Diffusion checkpoint", "--base"]),
        ("decoder.conv_in.weight", ["a VAE", "Load VAE"]),
    ],
)
def test_inspect_names_them(name: str, words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """T18: the command that people ask what a file is."""
    save_file({key: torch.zeros(1) for key in name.split()}, tmp_path / "file.safetensors")
    assert main(["inspect", str(tmp_path / "file.safetensors")]) == 2
    said = capsys.readouterr().err
    assert all(word in said for word in words), said
