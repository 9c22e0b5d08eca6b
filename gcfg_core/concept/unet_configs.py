"""Configurations of the public SD1.5, SD2 and SDXL, and of any UNet of these families from its tensors' shapes."""

from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import ConceptFileError
from .file_kinds import diffusion_family, kind_of

_SD = {
    "in_channels": 4,
    "out_channels": 4,
    "layers_per_block": 2,
    "down_block_types": ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"],
    "mid_block_type": "UNetMidBlock2DCrossAttn",
    "block_out_channels": [320, 640, 1280, 1280],
    "transformer_layers_per_block": 1,
}
# The public models' own configurations, so that no model hub is needed.
CONFIGS: dict[str, dict[str, Any]] = {
    "sd15": {**_SD, "sample_size": 64, "cross_attention_dim": 768, "attention_head_dim": 8,
             "use_linear_projection": False},
    "sd2": {**_SD, "sample_size": 96, "cross_attention_dim": 1024, "attention_head_dim": [5, 10, 20, 20],
            "use_linear_projection": True},
    "sdxl": {
        "in_channels": 4,
        "out_channels": 4,
        "sample_size": 128,
        "layers_per_block": 2,
        "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
        "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
        "mid_block_type": "UNetMidBlock2DCrossAttn",
        "block_out_channels": [320, 640, 1280],
        "transformer_layers_per_block": [1, 2, 10],
        "cross_attention_dim": 2048,
        "attention_head_dim": [5, 10, 20],
        "use_linear_projection": True,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": 2816,
    },
}  # fmt: skip
LDM_UNET = "model.diffusion_model.input_blocks."
CONVERT = "Convert it with `python -m training convert --config CONFIG.json`, so that the file describes its network."


def infer_config(shapes: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """Infer a UNet2DConditionModel configuration from tensor shapes in diffusers' names, with text attention or
    null-text.

    Shapes do not show the number of attention heads. It is known for networks of Stable Diffusion's base width (320):
    8 heads with convolutional projections, 64 channels per head with linear projections.

    Raises:
        ConceptFileError: the tensors are not a UNet's, or the number of heads is unknown.
    """
    conv_in = shapes.get("conv_in.weight")
    if conv_in is None or len(conv_in) != 4 or "down_blocks.0.resnets.0.conv1.weight" not in shapes:
        raise _no_unet(list(shapes))
    levels = _count(shapes, "down_blocks.{}.")
    layers = [_count(shapes, f"down_blocks.{level}.resnets.{{}}.") for level in range(levels)]
    channels = [shapes[f"down_blocks.{level}.resnets.0.conv1.weight"][0] for level in range(levels)]
    down = [_depths(shapes, f"down_blocks.{level}", layers[level]) for level in range(levels)]
    up = [_depths(shapes, f"up_blocks.{i}", n + 1) for i, n in enumerate(reversed(layers))]
    middle = _count(shapes, "mid_block.attentions.0.transformer_blocks.{}.")
    linear = any(name.endswith("proj_in.weight") and len(shape) == 2 for name, shape in shapes.items())
    config: dict[str, Any] = {
        "in_channels": conv_in[1],
        "out_channels": shapes.get("conv_out.weight", (4,))[0],
        "block_out_channels": channels,
        "layers_per_block": layers[0] if len(set(layers)) == 1 else layers,
        "down_block_types": ["CrossAttnDownBlock2D" if any(row) else "DownBlock2D" for row in down],
        "up_block_types": ["CrossAttnUpBlock2D" if any(row) else "UpBlock2D" for row in up],
        "mid_block_type": _middle_type(shapes, middle),
        "use_linear_projection": linear,
        **_depth_keys(down, up, middle),
    }
    added = shapes.get("add_embedding.linear_1.weight")
    if added is not None:
        config |= {"addition_embed_type": "text_time", "addition_time_embed_dim": 256,
                   "projection_class_embeddings_input_dim": added[1]}  # fmt: skip
    text = [shape for name, shape in shapes.items() if name.endswith("attn2.to_k.weight")]
    known = "sdxl" if added is not None else ("sd2" if linear else "sd15")
    config["cross_attention_dim"] = text[0][1] if text else CONFIGS[known]["cross_attention_dim"]
    return {**config, "attention_head_dim": _heads(channels, linear)}


def _no_unet(names: list[str]) -> ConceptFileError:
    """Return the error for tensors that are not a UNet's; it names the kind of model they belong to."""
    kind = kind_of(names)
    first = f"{next(iter(sorted(names)), 'nothing')} ..."
    got, remedy = first, "Give the UNet alone, as diffusers saves it."
    if diffusion_family(names) is None and any(name.startswith(LDM_UNET) for name in names):
        got, remedy = "a Stable Diffusion checkpoint in ldm's names", f"The trainer takes it as --base. {remedy}"
    elif kind is not None:
        got, remedy = f"{kind.name} ({first})", kind.remedy
    return ConceptFileError("tensors", "a UNet in diffusers' names (conv_in.weight, down_blocks...)", got, remedy)


def _heads(channels: list[int], linear: bool) -> int | list[int]:
    if channels[0] != CONFIGS["sd15"]["block_out_channels"][0]:
        raise ConceptFileError(
            "attention heads", "a UNet of base width 320, whose heads are known", f"base width {channels[0]}", CONVERT
        )
    return [width // 64 for width in channels] if linear else 8


def _middle_type(shapes: Mapping[str, Sequence[int]], depth: int) -> str | None:
    if depth:
        return "UNetMidBlock2DCrossAttn"
    return "UNetMidBlock2D" if "mid_block.resnets.0.conv1.weight" in shapes else None


def _depth_keys(down: list[list[int]], up: list[list[int]], middle: int) -> dict[str, Any]:
    """Return transformer_layers_per_block, with its reverse where one number per level does not describe both sides."""
    flat = [set(row) for row in down]
    depths = [row[0] or 1 for row in down]
    if middle and not any(down[-1]):
        depths[-1] = middle  # no transformer in this level uses the number, but the middle block reads it
    mirrored = [[d] * len(row) if any(row) else row for d, row in zip(reversed(depths), up, strict=True)]
    if all(len(row) == 1 for row in flat) and mirrored == up and (not middle or middle == depths[-1]):
        return {"transformer_layers_per_block": depths[0] if len(set(depths)) == 1 else depths}
    down_rows = [row if any(row) else 1 for row in down]
    if middle and isinstance(down_rows[-1], int):
        down_rows[-1] = middle
    return {
        "transformer_layers_per_block": down_rows,
        "reverse_transformer_layers_per_block": [row if any(row) else 1 for row in up],
    }


def _depths(shapes: Mapping[str, Sequence[int]], block: str, count: int) -> list[int]:
    return [_count(shapes, f"{block}.attentions.{i}.transformer_blocks.{{}}.") for i in range(count)]


def _count(shapes: Mapping[str, Sequence[int]], pattern: str) -> int:
    """Count up from 0 while some name begins with the pattern that has the number filled in."""
    count = 0
    while any(name.startswith(pattern.format(count)) for name in shapes):
        count += 1
    return count
