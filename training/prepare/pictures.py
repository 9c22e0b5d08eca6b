"""The latents to measure a base on: of some pictures, or noise."""

from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

from gcfg_core.concept.families import family_of
from gcfg_core.errors import InputError

from ..base.model import Base
from ..console.progress_bar import bar, on
from ..seeds import generator, normal


def latent_side(base: Base, resolution: int | None) -> int:
    """Return the side of the square latents.

    Args:
        base: its own size is used if ``resolution`` is None.
        resolution: in pixels.

    Raises:
        InputError: the resolution is not a multiple of `Base.side_step`.
    """
    own = base.config.get("sample_size")
    factor = base.codec.factor
    pixels = resolution or (own * factor if isinstance(own, int) else family_of(base.config).resolution)
    step = base.side_step
    if pixels % step:
        remedy = f"Give {max(pixels // step, 1) * step}, for example."
        raise InputError("resolution", f"a multiple of {step} pixels", str(pixels), remedy)
    return pixels // factor


def noise_latents(base: Base, side: int, count: int, seed: int) -> list[Tensor]:
    """Return standard normal latents [C, side, side], in place of pictures."""
    return [normal((base.codec.channels, side, side), seed, "picture", i) for i in range(count)]


@torch.no_grad()
def encoded(base: Base, pixels: Iterable[Tensor], seed: int, device: torch.device | str) -> list[Tensor]:
    """Encode pictures [3, H, W] from -1 to 1 to latents [C, h, w] on the CPU, sampled from the VAE's distribution.

    The VAE runs on ``device``, one picture at a time, and then returns to the CPU.
    """
    latents = []
    codec = base.codec.to(device)
    for number, picture in enumerate(pixels):
        mean, deviation = (value[0].float().cpu() for value in codec.encode(picture[None].to(device)))
        latents.append(mean + deviation * normal(tuple(mean.shape), seed, "latent", number))
    codec.to("cpu")
    return latents


def folder_latents(
    base: Base,
    folder: Path,
    side: int,
    count: int,
    seed: int,
    device: torch.device | str,
    min_side: int | None = None,
    background: str = "white",
) -> list[Tensor]:
    """Encode up to ``count`` pictures of a folder, chosen by ``seed`` and cut to squares.

    Args:
        min_side: leave out pictures with a shorter side below it; default: a quarter of the size in pixels.
        background: colour behind transparent parts.

    Raises:
        InputError: the folder is missing, or has no usable picture.
    """
    from ..data.config import DataConfig
    from ..data.picture import Size
    from ..data.pixels import load_pixels
    from ..data.scan import scan_folder

    pixels = side * base.codec.factor
    config = DataConfig(
        images=folder, resolution=pixels, fit="crop", flip=0.0, min_side=min_side, background=background
    )  # type: ignore[call-arg]
    with bar("scanning files", "file") as shown:
        pictures = scan_folder(config, on(shown)).pictures
    order = torch.randperm(len(pictures), generator=generator(seed, "pictures")).tolist()[:count]
    with bar("latents", "picture", iterable=order) as chosen:
        colour, size = config.transparency.background, Size(pixels, pixels)
        return encoded(base, (load_pixels(pictures[i], size, colour)[0] for i in chosen), seed, device)
