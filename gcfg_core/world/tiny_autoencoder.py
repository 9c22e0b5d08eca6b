"""The VAE of a small world: TAESD (github.com/madebyollin/taesd) with fewer channels.

ComfyUI's `comfy.taesd.taesd.TAESD` and diffusers' AutoencoderTiny are the same network with 64 channels at every
resolution. Channels at high resolution are slow and bring little in plain drawings.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

FULL = 64  # channels of TAESD
LEVELS = 4  # resolutions: 1, 1/2, 1/4 and 1/8
ENCODER = "taesd_encoder"


class TinyAutoencoder(nn.Module):
    """Maps pictures [B, 3, H, W] in -1..1 to latents [B, C, H / 8, W / 8] of unit variance, and back.

    Args:
        widths: channels at 1, 1/2, 1/4 and 1/8 of the picture's resolution, at most 64.
        channels: C, of the latents.
        kind: class of the convolutions; ComfyUI's own casts weights that are not loaded onto the device.
    """

    def __init__(self, widths: Sequence[int], channels: int, kind: type[nn.Conv2d] = nn.Conv2d) -> None:
        super().__init__()
        self.widths, self.channels = tuple(widths), channels
        fine, half, quarter, eighth = widths
        layers = Layers(kind)
        self.taesd_encoder = nn.Sequential(
            layers.convolution(3, fine), layers.block(fine),
            *layers.smaller(fine, half), *layers.smaller(half, quarter), *layers.smaller(quarter, eighth),
            layers.convolution(eighth, channels),
        )  # fmt: skip
        self.taesd_decoder = nn.Sequential(
            Clamp(), layers.convolution(channels, eighth), nn.ReLU(), *(layers.block(eighth) for _ in range(3)),
            *layers.larger(eighth, quarter, 3), *layers.larger(quarter, half, 3), *layers.larger(half, fine, 1),
            layers.convolution(fine, 3),
        )  # fmt: skip

    def encode(self, pixels: Tensor, *_: Any, **__: Any) -> Tensor:
        """Convert [B, 3, H, W] to [B, C, H / 8, W / 8]; further arguments of ComfyUI's VAE are ignored."""
        return self.taesd_encoder(pixels * 0.5 + 0.5)

    def decode(self, samples: Tensor, *_: Any, **__: Any) -> Tensor:
        """Convert [B, C, H, W] to [B, 3, 8 * H, 8 * W], not clamped; further arguments are ignored."""
        return self.taesd_decoder(samples) * 2.0 - 1.0


class Block(nn.Module):
    """Three convolutions with a skip connection."""

    def __init__(self, one: nn.Module, two: nn.Module, three: nn.Module) -> None:
        super().__init__()
        self.conv = nn.Sequential(one, nn.ReLU(), two, nn.ReLU(), three)

    def forward(self, x: Tensor) -> Tensor:
        return (self.conv(x) + x).relu()


class Clamp(nn.Module):
    """Limits latents smoothly to -3..3."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x / 3.0) * 3.0


@dataclass(frozen=True)
class Layers:
    """Makes the layers of a network with convolutions of a class."""

    kind: type[nn.Conv2d]

    def convolution(self, wide_in: int, wide_out: int, stride: int = 1, bias: bool = True) -> nn.Conv2d:
        return self.kind(wide_in, wide_out, 3, stride, 1, bias=bias)

    def block(self, width: int) -> Block:
        return Block(*(self.convolution(width, width) for _ in range(3)))

    def smaller(self, wide_in: int, wide_out: int) -> list[nn.Module]:
        """Return layers that halve the resolution."""
        return [self.convolution(wide_in, wide_out, 2, bias=False), *(self.block(wide_out) for _ in range(3))]

    def larger(self, wide_in: int, wide_out: int, blocks: int) -> list[nn.Module]:
        """Return layers that double the resolution."""
        larger = [nn.Upsample(scale_factor=2), self.convolution(wide_in, wide_out, bias=False)]
        return [*larger, *(self.block(wide_out) for _ in range(blocks))]


def tensor_shapes(widths: Sequence[int], channels: int) -> dict[str, tuple[int, ...]]:
    """Return the shape of every tensor of a network, by name."""
    with torch.device("meta"):
        return {key: tuple(value.shape) for key, value in TinyAutoencoder(widths, channels).state_dict().items()}


def padded(tensors: Mapping[str, Tensor], channels: int) -> dict[str, Tensor]:
    """Add channels of zeros up to TAESD's 64; they stay zero in every layer."""
    found = {}
    for key, shape in tensor_shapes((FULL,) * LEVELS, channels).items():
        found[key] = tensors[key].new_zeros(shape)
        found[key][tuple(map(slice, tensors[key].shape))] = tensors[key]
    return found


def diffusers_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return padded tensors in the names of diffusers' AutoencoderTiny, whose decoder counts without the clamp."""
    found = {}
    for key, value in tensors.items():
        part, layer, *rest = key.split(".")
        number, name = (int(layer), "encoder") if part == ENCODER else (int(layer) - 1, "decoder")
        found[".".join([f"{name}.layers.{number}", *rest])] = value
    return found
