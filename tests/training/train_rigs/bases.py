"""Tiny Stable Diffusion bases with random weights, as diffusers' pipelines, saved as folders or as single files."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DDPMScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from .ldm_names import clip_l_names, open_clip_names, unet_names, vae_names

FAMILIES = ("sd15", "sd2", "sdxl")
SINGLE_FILE_WIDTH = 320  # the base width whose attention heads are known without a configuration
WIDTHS = {"sd15": (64,), "sd2": (128,), "sdxl": (64, 128)}  # of the text encoders
LEVELS = {
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "steps_offset": 1,
    "clip_sample": False,
}
BEGIN, END = "<|startoftext|>", "<|endoftext|>"


@dataclass(eq=False)
class TinyBase:
    """The parts of a base. ``extra`` is OpenCLIP-H's last layer, which only single files carry."""

    family: str
    pipeline: Any
    extra: Mapping[str, Tensor]

    def save_folder(self, folder: Path, **options: Any) -> Path:
        """As `save_pretrained` does it; options such as safe_serialization, variant, max_shard_size."""
        self.pipeline.save_pretrained(folder, **options)
        return folder

    def save_file(self, path: Path, marks: tuple[str, ...] = (), metadata: dict[str, str] | None = None) -> Path:
        """In ldm's names, with empty marker tensors."""
        pipeline = self.pipeline
        tensors = unet_names(pipeline.unet) | vae_names(pipeline.vae.state_dict())
        if self.family == "sdxl":
            tensors |= clip_l_names(pipeline.text_encoder.state_dict(), "conditioner.embedders.0.transformer.")
            tensors |= open_clip_names(pipeline.text_encoder_2.state_dict(), "conditioner.embedders.1.model.")
        elif self.family == "sd2":
            state = {**pipeline.text_encoder.state_dict(), **self.extra}
            tensors |= open_clip_names(state, "cond_stage_model.model.")
        else:
            tensors |= clip_l_names(pipeline.text_encoder.state_dict(), "cond_stage_model.transformer.")
        tensors |= {mark: torch.zeros(0) for mark in marks}
        save_file({key: value.contiguous().clone() for key, value in tensors.items()}, path, metadata=metadata)
        return path


def tiny_base(family: str, folder: Path, width: int = 32, seed: int = 0, **scheduler: Any) -> TinyBase:
    """A base of random weights.

    Args:
        family: of FAMILIES.
        folder: where tokenizer files can be written.
        width: base width of the UNet, a multiple of 32; SINGLE_FILE_WIDTH where it shall be saved as a single file.
        seed: of the weights.
        scheduler: of DDPMScheduler, such as prediction_type.
    """
    torch.manual_seed(seed)
    widths = WIDTHS[family]
    levels = {**LEVELS, **scheduler}
    parts: dict[str, Any] = {
        "unet": _spread(UNet2DConditionModel(**unet_config(family, width))),
        "vae": _spread(AutoencoderKL(**vae_config(0.13025 if family == "sdxl" else 0.18215))),
        "scheduler": DDPMScheduler(**levels),
        "tokenizer": tokenizer(folder / "tokenizer", pad="!" if family == "sd2" else END),
        "text_encoder": _text_encoder(widths[0], CLIPTextModel, gelu=family == "sd2"),
    }
    if family == "sdxl":
        second = _text_encoder(widths[1], CLIPTextModelWithProjection, gelu=True)
        parts |= {"text_encoder_2": second, "tokenizer_2": tokenizer(folder / "tokenizer_2", pad="!")}
        return TinyBase(family, StableDiffusionXLPipeline(**parts), {})
    pipeline = StableDiffusionPipeline(
        **parts, safety_checker=None, feature_extractor=None, requires_safety_checker=False
    )  # type: ignore[arg-type]
    last = {key.replace("layers.1.", "layers.2."): torch.randn_like(value)
            for key, value in pipeline.text_encoder.state_dict().items() if "layers.1." in key}  # fmt: skip
    return TinyBase(family, pipeline, last if family == "sd2" else {})


def unet_config(family: str, width: int) -> dict[str, Any]:
    config: dict[str, Any] = {
        "sample_size": 8,
        "layers_per_block": 1,
        "block_out_channels": (width, width),
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
        "cross_attention_dim": sum(WIDTHS[family]),
        "attention_head_dim": 8 if family == "sd15" else max(width // 64, 1),
        "use_linear_projection": family != "sd15",
    }
    if family == "sdxl":
        config |= {
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 256,
            "projection_class_embeddings_input_dim": 6 * 256 + WIDTHS["sdxl"][1],
        }
    return config


def vae_config(scaling: float) -> dict[str, Any]:
    return {
        "block_out_channels": (32, 32),
        "layers_per_block": 1,
        "down_block_types": ("DownEncoderBlock2D",) * 2,
        "up_block_types": ("UpDecoderBlock2D",) * 2,
        "latent_channels": 4,
        "norm_num_groups": 32,
        "scaling_factor": scaling,
    }


def tokenizer(folder: Path, pad: str) -> CLIPTokenizer:
    """CLIP's tokenizer with single bytes for words: 512 of them, then begin and end, as in the real one."""
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = [chr(byte) for byte in visible] + [chr(256 + i) for i in range(256 - len(visible))]
    words = [*letters, *(f"{letter}</w>" for letter in letters), BEGIN, END]
    folder.mkdir(parents=True)
    (folder / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(words)}), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
    settings = {"pad_token": pad, "bos_token": BEGIN, "eos_token": END, "unk_token": END, "model_max_length": 77}
    named = {**settings, "tokenizer_class": "CLIPTokenizer"}
    (folder / "tokenizer_config.json").write_text(json.dumps(named), encoding="utf-8")
    return CLIPTokenizer.from_pretrained(str(folder), local_files_only=True)


def _text_encoder(width: int, kind: Any, gelu: bool) -> Any:
    config = CLIPTextConfig(
        vocab_size=514, hidden_size=width, intermediate_size=2 * width, num_hidden_layers=2, projection_dim=width,
        num_attention_heads=width // 64, hidden_act="gelu" if gelu else "quick_gelu",
        bos_token_id=0, eos_token_id=2, pad_token_id=1,
    )  # fmt: skip
    return _spread(kind(config), 0.2)


def _spread(module: nn.Module, deviation: float = 0.05) -> nn.Module:
    """Move every parameter, so that no norm or bias is still at a value that hides a mistake."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn_like(parameter) * deviation)
    return module.eval()
