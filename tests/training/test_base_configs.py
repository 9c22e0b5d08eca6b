"""The configurations read from shapes, for the public models at their full size (on the meta device)."""

from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from train_rigs.ldm_names import unet_names
from transformers import CLIPTextConfig, CLIPTextModel

from gcfg_core.concept.families import FAMILIES, layout_of
from gcfg_core.concept.tensor_digest import digest_of
from gcfg_core.concept.unet_configs import CONFIGS
from training.base.configs import clip_config, sd2_layers, vae_config
from training.base.single_file import _unet

# hidden size, layers, heads, inner size, projection, activation: as the public repositories' config.json have them
CLIPS = {
    "CLIP-L": (768, 12, 12, 3072, 768, "quick_gelu"),
    "OpenCLIP-H": (1024, 23, 16, 4096, 1024, "gelu"),
    "OpenCLIP-bigG": (1280, 32, 20, 5120, 1280, "gelu"),
}


@pytest.mark.parametrize("family", CONFIGS)
def test_the_unet_of_a_full_size_checkpoint(family: str) -> None:
    with torch.device("meta"):
        unet: Any = UNet2DConditionModel(**CONFIGS[family])
    config, tensors = _unet(unet_names(unet))
    assert config == CONFIGS[family] and layout_of(config) == layout_of(CONFIGS[family])
    assert {key: value.shape for key, value in tensors.items()} == {k: v.shape for k, v in unet.state_dict().items()}


@pytest.mark.parametrize("name", CLIPS)
def test_the_public_text_encoders(name: str) -> None:
    keys = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "projection_dim")
    known = {**dict(zip(keys, CLIPS[name][:-1], strict=True)), "hidden_act": CLIPS[name][-1]}
    known |= {"vocab_size": 49408, "max_position_embeddings": 77}
    with torch.device("meta"):
        state = CLIPTextModel(CLIPTextConfig(**known)).state_dict()
    shapes = {key.removeprefix("text_model."): tuple(value.shape) for key, value in state.items()}
    config = clip_config(shapes, open_clip=CLIPS[name][-1] == "gelu", name=name)
    assert {key: config[key] for key in known} == known


def test_sd2_leaves_the_last_layer_out() -> None:
    assert sd2_layers(24, 1024) == sd2_layers(23, 1024) == 23
    assert sd2_layers(3, 128) == 2


@pytest.mark.parametrize(("family", "scaling"), [("sd15", 0.18215), ("sd2", 0.18215), ("sdxl", 0.13025)])
def test_the_public_vae(family: str, scaling: float) -> None:
    levels = {"block_out_channels": [128, 256, 512, 512], "layers_per_block": 2, "latent_channels": 4,
              "down_block_types": ["DownEncoderBlock2D"] * 4, "up_block_types": ["UpDecoderBlock2D"] * 4}  # fmt: skip
    shapes = {f"encoder.down.{i}.block.{j}.conv1.weight": (width, 1, 3, 3)
              for i, width in enumerate(levels["block_out_channels"]) for j in range(2)}  # fmt: skip
    shapes |= {"encoder.conv_in.weight": (128, 3, 3, 3), "decoder.conv_in.weight": (512, 4, 3, 3),
               "decoder.conv_out.weight": (3, 128, 3, 3), "quant_conv.weight": (8, 8, 1, 1),
               "post_quant_conv.weight": (4, 4, 1, 1), "encoder.mid.attn_1.norm.weight": (512,)}  # fmt: skip
    config = vae_config(shapes, FAMILIES[family].latent_scale, "file")
    assert {key: config[key] for key in levels} == levels and config["scaling_factor"] == scaling
    with torch.device("meta"):
        vae: Any = AutoencoderKL(**config)
    assert vae.config.use_quant_conv and vae.config.use_post_quant_conv and vae.config.mid_block_add_attention


def test_the_digest_knows_names_shapes_and_order() -> None:
    one = {"a": torch.tensor([1.0, 2.0]), "b": torch.tensor([3.0])}
    assert digest_of(one) == digest_of(dict(reversed(one.items()))) == digest_of({k: v.half() for k, v in one.items()})
    others = [
        {"b": one["a"], "a": one["b"]},
        {"a": one["a"][None], "b": one["b"]},
        {"a": one["a"]},
        {"a": torch.tensor([1.0, 2.5]), "b": one["b"]},
    ]
    assert len({digest_of(one), *map(digest_of, others), digest_of(one, 1)}) == 6
