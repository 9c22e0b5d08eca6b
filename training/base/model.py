"""A base model in memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from gcfg_core.concept.families import layout_of, network_of
from gcfg_core.concept.world_latents import TINY_FORMATS

from .noise_schedule import NoiseSchedule

NAME_TOKENIZER = (
    "Give --tokenizer DIR, a folder with CLIP's vocab.json and merges.txt, for example ComfyUI's comfy/sd1_tokenizer"
)
"""Remedy for a base without tokenizer; the beginning of a sentence."""


@dataclass(frozen=True, eq=False)
class Condition:
    """The UNet's inputs beside x and t.

    Attributes:
        hidden_states: [B, T, C] text features.
        pooled: [B, D] pooled text vector of SDXL; else None.
        time_ids: [B, 6] size ids of SDXL (original height and width, crop top and left, target height and width).
    """

    hidden_states: Tensor
    pooled: Tensor | None = None
    time_ids: Tensor | None = None

    def repeated(self, batch: int) -> "Condition":
        """Expand a condition of batch 1 to a batch."""
        rest = [None if value is None else value.expand(batch, -1) for value in (self.pooled, self.time_ids)]
        return Condition(self.hidden_states.expand(batch, -1, -1), *rest)

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> "Condition":
        move = [None if v is None else v.to(device, dtype) for v in (self.hidden_states, self.pooled, self.time_ids)]
        return Condition(*move)  # type: ignore[arg-type]

    def arguments(self) -> dict[str, Any]:
        """Return the keyword arguments of diffusers' UNet2DConditionModel."""
        if self.pooled is None:
            return {"encoder_hidden_states": self.hidden_states}
        added = {"text_embeds": self.pooled, "time_ids": self.time_ids}
        return {"encoder_hidden_states": self.hidden_states, "added_cond_kwargs": added}


class LatentCodec(Protocol):
    """Encodes pictures to latents and decodes them. Pixels are [B, 3, H, W] from -1 to 1; latents are scaled.

    Attributes:
        channels: channels of a latent.
        factor: pixels per latent pixel, along each side.
        digest: hash of weights and scaling; part of the key of cached latents.
        deviates: False if the deviations of `encode` are always 0.
    """

    channels: int
    factor: int
    digest: str
    deviates: bool

    def encode(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation of the latents, each [B, C, h, w]."""
        ...

    def decode(self, latents: Tensor) -> Tensor: ...

    def to(self, device: torch.device | str) -> "LatentCodec": ...


class TextEncoder(Protocol):
    """Encodes captions to a condition. A small world's is a torch.nn.Module and can be trained."""

    def encode(self, captions: Sequence[str]) -> Condition:
        """Return hidden_states and pooled for each caption; ``time_ids`` stays None."""
        ...

    def to(self, device: torch.device | str) -> Any: ...


@dataclass(eq=False)
class Base:
    """A base model.

    Attributes:
        name: of the file or folder, for people.
        sha256: of the UNet's weights; concept files record it.
        unet: diffusers' UNet2DConditionModel, float32 on the CPU, in eval mode.
        config: the UNet's configuration.
        schedule: noise schedule and prediction type.
        codec: the VAE; the latents of some small worlds are the pixels.
        null: condition of the empty prompt, batch 1 (SDXL: with the size ids of an uncropped square picture).
        text: the text encoder; None if the base has no tokenizer or encoder.
        latent_format: name of the class in comfy.latent_formats.
        notes: choices made while reading that a user may not expect, a sentence each.
    """

    name: str
    sha256: str
    unet: Any
    config: dict[str, Any]
    schedule: NoiseSchedule
    codec: LatentCodec
    null: Condition
    text: TextEncoder | None
    latent_format: str
    notes: tuple[str, ...] = ()

    @property
    def vae(self) -> str:
        """Digest of a small world's VAE, which concept files record; empty elsewhere."""
        return self.codec.digest if self.latent_format in TINY_FORMATS.values() else ""

    @property
    def side_step(self) -> int:
        """Sides of a picture are multiples of this many pixels, because the network halves its latents between
        levels."""
        return self.codec.factor * 2 ** network_of(self.config).halvings(layout_of(self.config))
