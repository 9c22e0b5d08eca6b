"""Pictures of every kind, a folder of them, and a codec that is a handful of lines."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageChops
from torch import Tensor

from training.data.config import DataConfig
from training.data.picture import Picture, Size


class TinyCodec:
    """Averages of 8 x 8 pixels: red, green, blue and all; a deviation that follows the mean, or none."""

    channels = 4
    factor = 8

    def __init__(self, digest: str = "tiny", deviation: float = 0.1) -> None:
        self.digest = digest
        self.deviation = deviation
        self.deviates = bool(deviation)
        self.encoded = 0

    def encode(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        self.encoded += len(pixels)
        colours = torch.nn.functional.avg_pool2d(pixels, self.factor)
        mean = torch.cat([colours, colours.mean(1, keepdim=True)], dim=1)
        return mean, self.deviation * (1.0 + mean.abs()) if self.deviation else torch.zeros_like(mean)

    def decode(self, latents: Tensor) -> Tensor:
        return torch.nn.functional.interpolate(latents[:, :3], scale_factor=self.factor)

    def to(self, device: torch.device | str) -> "TinyCodec":
        return self


def noise_image(width: int, height: int, seed: int, mode: str = "RGB") -> Image.Image:
    """Coloured noise."""
    values = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values).convert(mode)


def save_noise(folder: Path, sizes: Sequence[tuple[int, int]], first: int = 0) -> list[Path]:
    """A PNG of noise for each (width, height)."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, (width, height) in enumerate(sizes, first):
        paths.append(folder / f"{number:03}.png")
        noise_image(width, height, number).save(paths[-1])
    return paths


def data_config(images: Path, **changes: object) -> DataConfig:
    """Small buckets around 32 pixels, all in this process."""
    settings: dict[str, object] = {"images": images, "resolution": 32, "bucket_step": 8, "workers": 0}
    return DataConfig.model_validate(settings | changes)


def picture_at(path: Path) -> Picture:
    """A saved picture, as a scan would describe it."""
    with Image.open(path) as image:
        image.load()
        size = Size(*image.size)
        if image.getexif().get(0x0112, 1) >= 5:
            size = Size(size.height, size.width)
        name = image.format or "?"
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Picture(size, name, digest, path=path, name=path.name)


def largest_difference(one: Image.Image, other: Image.Image) -> int:
    """In levels of 255: another batch may round otherwise."""
    return max(high for _, high in ImageChops.difference(one, other).getextrema())


def save_half_transparent(path: Path, left_alpha: int = 0, size: tuple[int, int] = (32, 32)) -> None:
    """Noise whose left half is as opaque as is said."""
    image = noise_image(*size, 7).convert("RGBA")
    alpha = Image.new("L", size, 255)
    alpha.paste(left_alpha, (0, 0, size[0] // 2, size[1]))
    image.putalpha(alpha)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
