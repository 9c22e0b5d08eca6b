"""Draw spectacles over toons, which have none, to train a judge of glasses."""

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from ..seeds import one_of, uniform
from .labelled import Labelled
from .styles import GLASSES, WORN

EYES = (16.0, 17.0)  # middle between a toon's eyes, in pixels of a 32 x 32 picture
FRAMES = ((20, 16, 16), (70, 45, 30), (200, 155, 60), (150, 35, 60), (110, 110, 120), (240, 240, 240))
LENSES = ((0, 0, 0, 0), (0, 0, 0, 0), (255, 255, 255, 110), (40, 35, 60, 235))  # clear (twice), shining, dark
SIZES = {
    "apart": (2.6, 3.6),
    "wide": (1.7, 2.6),
    "tall": (1.3, 2.5),
}  # lens: distance from middle, half width, half height
FINE = 8  # supersampling factor


def with_spectacles(toons: Labelled, seed: int) -> Labelled:
    """Return the toons with spectacles and matching labels."""
    yes = torch.full((len(toons),), WORN[GLASSES].index("yes"))
    return Labelled(put_on(toons.pixels, seed), {**toons.labels, GLASSES: yes})


def put_on(toons: Tensor, seed: int) -> Tensor:
    """Draw different spectacles on each toon, [N, 3, 32, 32] uint8."""
    worn = [_with(Image.fromarray(toon.permute(1, 2, 0).numpy()), seed, index) for index, toon in enumerate(toons)]
    return torch.from_numpy(np.stack([np.array(image) for image in worn])).permute(0, 3, 1, 2).contiguous()


def _with(toon: Image.Image, seed: int, index: int) -> Image.Image:
    spectacles = Image.new("RGBA", (toon.width * FINE, toon.height * FINE))
    _draw(ImageDraw.Draw(spectacles), ("spectacles", seed, index))
    small = spectacles.resize(toon.size, Image.Resampling.BOX)
    return Image.alpha_composite(toon.convert("RGBA"), small).convert("RGB")


def _draw(pen: ImageDraw.ImageDraw, place: tuple[int | str, ...]) -> None:
    """Draw two lenses, the bridge and the temples."""
    x, y = (at + _between(-1.5, 1.5, *place, axis) for at, axis in zip(EYES, "xy", strict=True))
    apart, wide, tall = (_between(*range_, *place, name) for name, range_ in SIZES.items())
    frame, width = (*one_of(FRAMES, *place, "frame"), 255), round(FINE * _between(0.5, 1.1, *place, "width"))
    lens, shape = one_of(LENSES, *place, "lens"), one_of((pen.ellipse, pen.rectangle), *place, "shape")
    for side in (-1.0, 1.0):
        middle = x + side * apart
        outer = middle + side * wide
        shape([FINE * at for at in (middle - wide, y - tall, middle + wide, y + tall)], lens, frame, width)
        pen.line([FINE * at for at in (outer, y, outer + side * 1.5, y - 0.3)], frame, width)
    pen.line([FINE * at for at in (x - apart + wide, y, x + apart - wide, y)], frame, width)


def _between(low: float, high: float, *place: int | str) -> float:
    return low + (high - low) * uniform(*place)
