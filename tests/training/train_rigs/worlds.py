"""Tiny worlds and pictures for them, and the text encoder's arithmetic as ComfyUI's comfy/clip_model.py has it."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from training.base.model import Base
from training.base.world_config import WorldConfig
from training.base.world_new import new_world

COLOURS = {"red": (1.0, -1.0, -1.0), "green": (-1.0, 1.0, -1.0), "blue": (-1.0, -1.0, 1.0)}
CAPTIONS = [f"a {colour} face, smiling" for colour in COLOURS]
TINY: dict[str, Any] = {
    "channels": (32, 32),
    "attention": (False, True),
    "heads": 2,
    "context": 32,
    "text_layers": 2,
    "text_heads": 2,
    "tokens": 8,
    "resolution": 8,
}


def tiny_world(captions: list[str] | None = None, **settings: Any) -> Base:
    """A new world of 8 px; its text encoder's norms and biases are moved, so that none hides a mistake."""
    base = new_world(WorldConfig(**{**TINY, **settings}), captions or CAPTIONS, "tiny")
    made = torch.Generator().manual_seed(1)
    for parameter in base.text.parameters():  # type: ignore[union-attr]
        parameter.data.add_(torch.randn(parameter.shape, generator=made) * 0.2)
    base.null = base.text.encode([""])  # type: ignore[union-attr]
    return base


def plain_pictures(size: int = 8) -> Tensor:
    """[3, 3, size, size]: one picture of a single colour for each caption of CAPTIONS."""
    return torch.tensor(list(COLOURS.values()))[:, :, None, None].expand(-1, -1, size, size).contiguous()


def clip_states(tensors: Mapping[str, Tensor], config: Mapping[str, Any], ids: Tensor) -> Tensor:
    """The last hidden state [B, T, C] of ids [B, T], written out: causal, no padding mask, final norm."""
    rest = {key.removeprefix("text_model."): value for key, value in tensors.items()}
    x = rest["embeddings.token_embedding.weight"][ids] + rest["embeddings.position_embedding.weight"]
    for layer in range(config["num_hidden_layers"]):
        own = {k.removeprefix(f"encoder.layers.{layer}."): v for k, v in rest.items() if f".layers.{layer}." in k}
        x = x + _attention(own, _norm(own, "layer_norm1", x), config["num_attention_heads"])
        inner = _linear(own, "mlp.fc1", _norm(own, "layer_norm2", x))
        x = x + _linear(own, "mlp.fc2", inner * torch.sigmoid(1.702 * inner))
    return _norm(rest, "final_layer_norm", x)


def _linear(tensors: Mapping[str, Tensor], name: str, x: Tensor) -> Tensor:
    return F.linear(x, tensors[f"{name}.weight"], tensors[f"{name}.bias"])


def _norm(tensors: Mapping[str, Tensor], name: str, x: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], tensors[f"{name}.weight"], tensors[f"{name}.bias"], 1e-5)


def _attention(tensors: Mapping[str, Tensor], x: Tensor, heads: int) -> Tensor:
    query, key, value = (
        _linear(tensors, f"self_attn.{name}_proj", x).unflatten(-1, (heads, -1)).transpose(1, 2) for name in "qkv"
    )
    scores = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5  # [B, heads, T, T]
    future = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
    mixed = scores.masked_fill(future, -torch.inf).softmax(-1) @ value
    return _linear(tensors, "self_attn.out_proj", mixed.transpose(1, 2).flatten(2))
