"""Stable Diffusion's VAE as a `LatentCodec`: float32, a few pictures at a time, never in tiles."""

from collections.abc import Mapping
from typing import Any

import torch
from diffusers import AutoencoderKL
from torch import Tensor

from gcfg_core.concept.tensor_digest import digest_of
from gcfg_core.errors import InputError

from ..device import full_float32
from .chunks import check_sides, in_chunks
from .weights import fill

CHUNK = 4  # pictures per pass: a VAE needs far more memory than the UNet


def build_vae(config: Mapping[str, Any], tensors: Mapping[str, Tensor], name: str) -> AutoencoderKL:
    """Return diffusers' AutoencoderKL in float32 on the CPU.

    Args:
        config: its configuration; keys with a leading underscore are ignored.
        tensors: in diffusers' names, old or new.
        name: of the file or folder, for messages.

    Raises:
        InputError: it is another kind of VAE, or the tensors do not fit the configuration.
    """
    kind = config.get("_class_name", "AutoencoderKL")
    if kind != "AutoencoderKL":
        raise InputError(f"{name}: VAE", "AutoencoderKL", str(kind), "Other autoencoders are not supported.")
    if config.get("latents_mean") is not None or config.get("latents_std") is not None:
        raise InputError(f"{name}: VAE", "one scaling factor", "latents_mean and latents_std", "It is not supported.")
    with torch.device("meta"):
        vae: Any = AutoencoderKL.from_config({k: v for k, v in config.items() if not k.startswith("_")})
    tensors = dict(tensors)
    vae._fix_state_dict_keys_on_load(tensors)  # renames old keys, for example query -> to_q
    vae.disable_tiling()
    return fill(vae, tensors, f"{name}: VAE").requires_grad_(False)  # type: ignore[return-value]


class VaeCodec:
    """Scaled latents (z - shift_factor) * scaling_factor, as in diffusers' pipelines.

    Args:
        vae: diffusers' AutoencoderKL, float32.
        chunk: pictures per pass.
    """

    deviates = True

    def __init__(self, vae: AutoencoderKL, chunk: int = CHUNK) -> None:
        config: Any = vae.config
        self.vae = vae
        self.chunk = chunk
        self.channels: int = config.latent_channels
        self.factor: int = 2 ** (len(config.block_out_channels) - 1)
        self.scaling = float(config.scaling_factor)
        self.shift = float(config.shift_factor or 0.0)
        self.digest = digest_of(vae.state_dict(), self.scaling, self.shift)

    @torch.no_grad()
    def encode(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Encode pixels [B, 3, H, W] from -1 to 1 to mean and standard deviation [B, C, H / factor, W / factor],
        float32.

        Raises:
            ValueError: H or W is not a multiple of ``factor``.
        """
        check_sides(pixels, self.factor)

        def encode(part: Tensor) -> Tensor:
            latents = self.vae.encode(part).latent_dist  # type: ignore[union-attr]
            return torch.stack([(latents.mean - self.shift) * self.scaling, latents.std * self.scaling])

        with full_float32():
            mean, deviation = in_chunks(encode, pixels, self.chunk, self.vae.device, dim=1)
        return mean, deviation

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Decode scaled latents to pixels [B, 3, H, W] from -1 to 1, float32."""

        def decode(part: Tensor) -> Tensor:
            return self.vae.decode(part / self.scaling + self.shift).sample.clamp(-1.0, 1.0)  # type: ignore[union-attr]

        return in_chunks(decode, latents, self.chunk, self.vae.device)

    def to(self, device: torch.device | str) -> "VaeCodec":
        self.vae.to(device)  # type: ignore[arg-type]
        return self
