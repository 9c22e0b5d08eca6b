"""Tiny null-text concept files of format 1."""

from pathlib import Path

import torch

from gcfg_core.concept.concept import Concept
from gcfg_core.concept.concept_file import write_concept
from gcfg_core.concept.families import layout_of
from gcfg_core.concept.unet_tensors import tensor_shapes
from rigs.host import cache_dir
from rigs.tiny import VERSION
from rigs.weights import random_state

_BASE = {
    "in_channels": 4,
    "out_channels": 4,
    "block_out_channels": [320],
    "layers_per_block": 1,
    "down_block_types": ["CrossAttnDownBlock2D"],
    "up_block_types": ["UpBlock2D"],
    "mid_block_type": None,
    "transformer_layers_per_block": 1,
    "cross_attention_dim": 768,
    "attention_head_dim": 8,
    "use_linear_projection": False,
}
CONFIGS = {
    "sd15": _BASE,
    "sd2v": {**_BASE, "cross_attention_dim": 1024, "use_linear_projection": True},
    "sdxl": {
        **_BASE,
        "cross_attention_dim": 2048,
        "attention_head_dim": [5],
        "use_linear_projection": True,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": 2816,
    },
}
"""diffusers' configuration of each tiny concept's network."""


def tiny_concept(kind: str, seed: int = 0) -> Path:
    """Write a null-text concept file for Load Concept Model, in the latent space of the tiny model of this kind."""
    if kind not in CONFIGS:
        raise KeyError(f"no tiny concept {kind!r}; there are {', '.join(CONFIGS)}")
    path = cache_dir() / f"concept-{kind}-{seed}-v{VERSION}.safetensors"
    if not path.is_file():
        write_concept(path, _concept(kind, seed))
    return path


def _concept(kind: str, seed: int) -> Concept:
    layout = layout_of(CONFIGS[kind])
    shapes = {name: torch.empty(shape) for name, shape in tensor_shapes(layout, null_text=True).items()}
    pooled = layout.pooled_dim
    return Concept(
        tensors=random_state(shapes, 7000 + seed),
        config=CONFIGS[kind],
        prediction_type="v_prediction" if kind == "sd2v" else "epsilon",
        base=f"tiny {kind}",
        text_embeds=None if pooled is None else torch.zeros(1, pooled),
        time_ids=None if pooled is None else torch.tensor([[1024.0, 1024.0, 0.0, 0.0, 1024.0, 1024.0]]),
    )
