"""Tiny models in the names that single-file checkpoints use: written by hand from ldm's own modules, the other way than
diffusers' conversions go."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
ENDS = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
VAE_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}


def unet_names(unet: Any) -> dict[str, Tensor]:
    """A UNet's tensors under ``model.diffusion_model.``."""
    places = dict(ENDS)
    number = 1
    for level, block in enumerate(unet.down_blocks):
        for i in range(len(block.resnets)):
            places[f"down_blocks.{level}.resnets.{i}"] = f"input_blocks.{number}.0"
            places[f"down_blocks.{level}.attentions.{i}"] = f"input_blocks.{number}.1"
            number += 1
        if block.downsamplers:
            places[f"down_blocks.{level}.downsamplers.0.conv"] = f"input_blocks.{number}.0.op"
            number += 1
    places |= {f"mid_block.resnets.{i}": f"middle_block.{2 * i}" for i in range(2)}
    places["mid_block.attentions.0"] = "middle_block.1"
    number = 0
    for level, block in enumerate(unet.up_blocks):
        attentions = len(getattr(block, "attentions", ()))
        for i in range(len(block.resnets)):
            places[f"up_blocks.{level}.resnets.{i}"] = f"output_blocks.{number}.0"
            places[f"up_blocks.{level}.attentions.{i}"] = f"output_blocks.{number}.1"
            number += 1
        places[f"up_blocks.{level}.upsamplers.0.conv"] = f"output_blocks.{number - 1}.{2 if attentions else 1}.conv"
    return {"model.diffusion_model." + _placed(key, places): value for key, value in unet.state_dict().items()}


def _placed(key: str, places: Mapping[str, str]) -> str:
    place = next(p for p in sorted(places, key=len, reverse=True) if key.startswith(p + "."))
    rest = key[len(place) + 1 :]
    if ".resnets." in place:
        layer, _, kind = rest.rpartition(".")
        rest = f"{RESNET[layer]}.{kind}"
    return f"{places[place]}.{rest}"


def vae_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A VAE's tensors under ``first_stage_model.``; attention as 1x1 convolutions."""
    named = {}
    levels = len({key.split(".")[2] for key in state if key.startswith("encoder.down_blocks.")})
    for key, value in state.items():
        new = key.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
        new = new.replace("mid_block.resnets.0", "mid.block_1").replace("mid_block.resnets.1", "mid.block_2")
        for level in range(levels):
            new = new.replace(f"down_blocks.{level}.resnets.", f"down.{level}.block.")
            new = new.replace(f"up_blocks.{level}.resnets.", f"up.{levels - 1 - level}.block.")
            new = new.replace(f"down_blocks.{level}.downsamplers.0", f"down.{level}.downsample")
            new = new.replace(f"up_blocks.{level}.upsamplers.0", f"up.{levels - 1 - level}.upsample")
        if "mid_block.attentions.0." in new:
            part, _, layer = new.partition("mid_block.attentions.0.")
            layer, _, kind = layer.rpartition(".")
            new = f"{part}mid.attn_1.{VAE_ATTENTION[layer]}.{kind}"
            value = value[:, :, None, None] if value.ndim == 2 else value
        named[f"first_stage_model.{new}"] = value
    return named


def clip_l_names(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """CLIP-L's tensors, with the index buffer that old checkpoints carry."""
    plain = {f"{prefix}text_model.{key.removeprefix('text_model.')}": value for key, value in state.items()}
    return {**plain, f"{prefix}text_model.embeddings.position_ids": torch.arange(77)[None]}


def open_clip_names(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """OpenCLIP's own names: one matrix for q, k and v, the projection transposed."""
    plain = {key.removeprefix("text_model."): value for key, value in state.items()}
    named = {f"{prefix}logit_scale": torch.tensor(1.0)}
    for key, value in plain.items():
        if ".self_attn." in key and "out_proj" not in key:
            continue
        new = key.replace("encoder.layers.", "transformer.resblocks.").replace("self_attn", "attn")
        new = new.replace("layer_norm1", "ln_1").replace("layer_norm2", "ln_2")
        new = (
            new.replace("mlp.fc1", "mlp.c_fc").replace("mlp.fc2", "mlp.c_proj").replace("final_layer_norm", "ln_final")
        )
        new = new.replace("embeddings.token_embedding", "token_embedding")
        new = new.replace("embeddings.position_embedding.weight", "positional_embedding")
        new = new.replace("text_projection.weight", "text_projection")
        named[prefix + new] = value.T if key == "text_projection.weight" else value
    for kind in ("weight", "bias"):
        ends = [f".self_attn.{letter}_proj.{kind}" for letter in "qkv"]
        for key in [key for key in plain if key.endswith(ends[0])]:
            layer = key.removesuffix(ends[0])
            where = layer.replace("encoder.layers.", "transformer.resblocks.")
            named[f"{prefix}{where}.attn.in_proj_{kind}"] = torch.cat([plain[layer + end] for end in ends])
    return named
