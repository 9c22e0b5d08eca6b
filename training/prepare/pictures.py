"""The latents that a base is measured on: of a few real pictures, or noise where there are none."""

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
    """Side of the square latents.

    Args:
        base: whose own size is taken where ``resolution`` is None.
        resolution: in pixels.

    Raises:
        InputError: the VAE and the UNet cannot halve it as often as they do.
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
    """Standard normal latents [C, side, side], which are no pictures at all."""
    return [normal((base.codec.channels, side, side), seed, "picture", i) for i in range(count)]


@torch.no_grad()
def encoded(base: Base, pixels: Iterable[Tensor], seed: int, device: torch.device | str) -> list[Tensor]:
    """Latents [C, h, w] on the CPU of pictures [3, H, W] from -1 to 1, drawn from what the VAE says.

    The VAE runs on ``device``, a picture at a time, and goes back to the CPU.
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
    """Latents of up to ``count`` pictures of a folder, chosen by ``seed``, cut to squares.

    Args:
        min_side: pictures with a shorter side below it are left out; a quarter of the latents' size in pixels without.
        background: colour behind transparent parts.

    Raises:
        InputError: no such folder, or no usable picture in it.
    """
    from ..data.config import DataConfig
    from ..data.picture import Size
    from ..data.pixels import load_pixels
    from ..data.scan import scan_folder

    pixels = side * base.codec.factor
    config = DataConfig(
        images=folder, resolution=pixels, fit="crop", flip=0.0, min_side=min_side, background=background
    )  # type: ignore[call-arg]
    with bar("looking at files", "file") as shown:
        found = scan_folder(config, on(shown)).pictures
    order = torch.randperm(len(found), generator=generator(seed, "pictures")).tolist()[:count]
    with bar("latents", "picture", iterable=order) as chosen:
        colour, size = config.transparency.background, Size(pixels, pixels)
        return encoded(base, (load_pixels(found[i], size, colour)[0] for i in chosen), seed, device)
