"""The configuration of a toy UNet."""

from typing import Any


def toy_config(channels: int, widths: list[int]) -> dict[str, Any]:
    """diffusers' UNet2DConditionModel of two levels, the first with cross-attention, for latents [channels, 8, 8].

    With widths of 64 a norm's group holds two channels: with one, norms would cancel biases.
    """
    return {
        "sample_size": 8,
        "in_channels": channels,
        "out_channels": channels,
        "block_out_channels": widths,
        "layers_per_block": 1,
        "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"],
        "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"],
        "mid_block_type": "UNetMidBlock2DCrossAttn",
        "cross_attention_dim": 16,
        "attention_head_dim": 4,
    }
