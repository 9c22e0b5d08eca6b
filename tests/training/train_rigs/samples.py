"""Tiny models, pictures and bases for the tests of sampling, evaluation and export."""

from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from PIL import Image
from torch import Tensor, nn

from gcfg_core.concept.concept import Concept
from gcfg_core.concept.null_text import remove_text_attention
from training.base.model import Base, Condition
from training.base.noise_schedule import NoiseSchedule, noise_schedule
from training.evaluate.features import Extractor, Features, extract
from training.evaluate.pictures import list_pictures
from training.sample.denoiser import Denoiser

from .toy_unet import toy_config

TINY = toy_config(3, [32, 64])
TINY_XL = {
    **TINY,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 8,
    "projection_class_embeddings_input_dim": 24 + 6 * 8,
}


def unet(seed: int = 0, config: dict | None = None, null_text: bool = False) -> UNet2DConditionModel:
    """A UNet with random weights, and random constants where it is null-text."""
    torch.manual_seed(seed)
    made = UNet2DConditionModel.from_config(config or TINY).eval()
    if null_text:
        remove_text_attention(made)
        for name, value in made.named_parameters():
            if name.endswith("null_text_feature"):
                value.data.normal_(std=0.1)
    return made.requires_grad_(False)


def condition(seed: int = 0, tokens: int = 5, config: dict | None = None) -> Condition:
    made = torch.Generator().manual_seed(seed)
    hidden = torch.randn(1, tokens, (config or TINY)["cross_attention_dim"], generator=made)
    if config is None or "addition_embed_type" not in config:
        return Condition(hidden)
    ids = torch.tensor([[64.0, 64.0, 0.0, 0.0, 64.0, 64.0]])
    return Condition(hidden, torch.randn(1, 24, generator=made), ids)


def denoiser(seed: int = 0, prediction: str = "epsilon", null_text: bool = False, zero_snr: bool = False) -> Denoiser:
    return Denoiser(unet(seed, null_text=null_text), noise_schedule(None, prediction, zero_snr))


class Pixels:
    """The codec of a world whose latents are its pixels."""

    channels, factor, digest, deviates = 3, 1, "pixels", False

    def encode(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        return pixels, torch.zeros_like(pixels)

    def decode(self, latents: Tensor) -> Tensor:
        return latents

    def to(self, device: torch.device | str) -> "Pixels":
        return self


class Words:
    """A text encoder: each caption's characters seed its features."""

    def encode(self, captions: list[str]) -> Condition:
        return Condition(torch.cat([condition(sum(map(ord, caption))).hidden_states for caption in captions]))

    def to(self, device: torch.device | str) -> "Words":
        return self


def base(schedule: NoiseSchedule | None = None, config: dict | None = None, seed: int = 0) -> Base:
    config = config or TINY
    return Base(
        name="tiny base",
        sha256="ab" * 32,
        unet=unet(seed, config),
        config=config,
        schedule=schedule or noise_schedule(),
        codec=Pixels(),
        null=condition(0, config=config),
        text=Words(),
        latent_format="ChromaRadiance",
    )


def concept(seed: int = 1, config: dict | None = None, **fields: object) -> Concept:
    """A null-text concept of random weights; what ``fields`` leave out is as `Concept` has it."""
    config = config or TINY
    made = unet(seed, config, null_text=True)
    if "addition_embed_type" in config:
        told = condition(7, config=config)
        fields = {"text_embeds": told.pooled, "time_ids": told.time_ids, **fields}
    return Concept(tensors=made.state_dict(), config=config, **fields)  # type: ignore[arg-type]


def write_pictures(folder: Path, pixels: Tensor, prefix: str = "p") -> list[Path]:
    """uint8 [N, H, W, 3] as PNG files."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{prefix}{i:03d}.png" for i in range(len(pixels))]
    for path, picture in zip(paths, pixels, strict=True):
        Image.fromarray(picture.numpy()).save(path)
    return paths


def noise_pictures(count: int, seed: int = 0, size: int = 12, bright: float = 128.0) -> Tensor:
    """uint8 [N, size, size, 3]: smooth random pictures around a brightness."""
    made = torch.Generator().manual_seed(seed)
    coarse = torch.randn(count, 3, 3, 3, generator=made) * 40.0 + bright
    fine = torch.nn.functional.interpolate(coarse, size=(size, size), mode="bilinear")
    return fine.clamp(0, 255).byte().permute(0, 2, 3, 1).contiguous()


class Small(nn.Module):
    """A fixed random projection of small pictures: fast features of 16 numbers."""

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        flat = pictures.double().flatten(1)
        made = torch.Generator().manual_seed(0)
        return flat @ torch.randn(flat.shape[1], 16, generator=made, dtype=torch.float64) / flat.shape[1]


SMALL = Extractor("small", 12, Small())


def features_of(folder: Path) -> Features:
    """Small features of every picture in a folder."""
    return extract(list_pictures(folder), SMALL)
