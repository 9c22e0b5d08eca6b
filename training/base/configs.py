"""Infer the configurations of VAEs and CLIP text encoders of SD1.5, SD2 and SDXL, of any size, from tensor shapes.

Values that shapes do not show are constant in each family and written here, so no model hub is needed.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from gcfg_core.errors import InputError

Shapes = Mapping[str, Sequence[int]]

HEAD_WIDTH = 64  # channels of an attention head, in every CLIP text encoder of the three families
SD2_LAYERS = 23  # OpenCLIP-H has 24; SD2 applies the final norm after layer 23 and never runs the last
SD2_WIDTH = 1024


def vae_config(shapes: Shapes, scale: float, name: str) -> dict[str, Any]:
    """Return AutoencoderKL's configuration from shapes in ldm's names (encoder.down.0.block.0...).

    Raises:
        InputError: these are not an AutoencoderKL's tensors.
    """
    levels = _count(shapes, "encoder.down.{}.")
    if not levels or "encoder.conv_in.weight" not in shapes or "decoder.conv_in.weight" not in shapes:
        remedy = "Give --vae with this family's VAE, or a checkpoint that carries its own."
        raise InputError(name, "an AutoencoderKL (tensors named first_stage_model.*)", "none", remedy)
    return {
        "in_channels": shapes["encoder.conv_in.weight"][1],
        "out_channels": shapes.get("decoder.conv_out.weight", (3,))[0],
        "latent_channels": shapes["decoder.conv_in.weight"][1],
        "block_out_channels": [shapes[f"encoder.down.{i}.block.0.conv1.weight"][0] for i in range(levels)],
        "layers_per_block": _count(shapes, "encoder.down.0.block.{}."),
        "down_block_types": ["DownEncoderBlock2D"] * levels,
        "up_block_types": ["UpDecoderBlock2D"] * levels,
        "act_fn": "silu",
        "norm_num_groups": 32,
        "mid_block_add_attention": "encoder.mid.attn_1.norm.weight" in shapes,
        "use_quant_conv": "quant_conv.weight" in shapes,
        "use_post_quant_conv": "post_quant_conv.weight" in shapes,
        "scaling_factor": scale,
    }


def clip_config(shapes: Shapes, open_clip: bool, name: str) -> dict[str, Any]:
    """Return CLIPTextConfig's keys from shapes in transformers' names without "text_model.".

    Args:
        shapes: of the encoder, including ``text_projection.weight`` [D, C] if present.
        open_clip: True for OpenCLIP's H or bigG (gelu), False for CLIP-L (quick gelu).
        name: of the file, for messages.

    Raises:
        InputError: these are not a CLIP text encoder's tensors.
    """
    tokens, positions = (shapes.get(f"embeddings.{kind}_embedding.weight") for kind in ("token", "position"))
    layers = _count(shapes, "encoder.layers.{}.")
    wide = shapes.get("encoder.layers.0.mlp.fc1.weight")
    if tokens is None or positions is None or wide is None or tokens[1] % HEAD_WIDTH:
        remedy = "Give a checkpoint that carries its own text encoders, or a diffusers folder."
        raise InputError(name, f"a CLIP text encoder of a width that {HEAD_WIDTH} divides", "none", remedy)
    return {
        "vocab_size": tokens[0],
        "hidden_size": tokens[1],
        "max_position_embeddings": positions[0],
        "num_hidden_layers": layers,
        "num_attention_heads": tokens[1] // HEAD_WIDTH,
        "intermediate_size": wide[0],
        "projection_dim": shapes.get("text_projection.weight", (tokens[1],))[0],
        "hidden_act": "gelu" if open_clip else "quick_gelu",
        "layer_norm_eps": 1e-5,
        "bos_token_id": 0,
        "eos_token_id": 2,  # makes transformers pool at the token with the highest id, as CLIP does
        "pad_token_id": 1,
    }


def sd2_layers(count: int, width: int) -> int:
    """Return how many of SD2's text layers are run: all but the last, which some files omit and tiny models keep."""
    return min(count, SD2_LAYERS) if width == SD2_WIDTH else max(count - 1, 1)


def _count(shapes: Shapes, pattern: str) -> int:
    count = 0
    while any(name.startswith(pattern.format(count)) for name in shapes):
        count += 1
    return count
