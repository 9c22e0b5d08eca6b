"""A diffusers folder of Stable Diffusion 1.5 with all its layers at about a quarter of their width and random
weights."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDPMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from gcfg_core.concept.unet_configs import CONFIGS

TEXT = {"hidden_size": 192, "intermediate_size": 768, "num_hidden_layers": 12, "num_attention_heads": 3}
WORDS = ["<|startoftext|>", "<|endoftext|>", *map(chr, range(33, 127)), *(f"{chr(i)}</w>" for i in range(33, 127))]


def small_base(folder: Path) -> StableDiffusionPipeline:
    """Build it, write it to ``folder`` and return it."""
    torch.manual_seed(0)
    width = TEXT["hidden_size"]
    unet = {**CONFIGS["sd15"], "block_out_channels": [96, 160, 320, 320], "cross_attention_dim": width}
    levels = 4
    vae = AutoencoderKL(
        block_out_channels=(32, 64, 128, 128), layers_per_block=2, latent_channels=4,
        down_block_types=("DownEncoderBlock2D",) * levels, up_block_types=("UpDecoderBlock2D",) * levels,
    )  # fmt: skip
    encoder = CLIPTextConfig(vocab_size=len(WORDS), bos_token_id=0, eos_token_id=1, pad_token_id=1, **TEXT)
    pipeline = StableDiffusionPipeline(
        vae, CLIPTextModel(encoder), _tokenizer(folder.with_name("tokenizer")), UNet2DConditionModel(**unet),
        DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,  # type: ignore[arg-type]
    )  # fmt: skip
    pipeline.save_pretrained(folder)
    return pipeline


def _tokenizer(folder: Path) -> CLIPTokenizer:
    """Make CLIP's tokenizer with letters as its words."""
    folder.mkdir()
    (folder / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(WORDS)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=77)
