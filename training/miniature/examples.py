"""What some settings draw for the same prompts, below real pictures of the concept that show what these ask for."""

import itertools
from collections.abc import Mapping, Sequence

import torch
from PIL import Image
from torch import Tensor

from ..sample.grid import draw_grid
from .labelled import CLASSES, Labelled
from .styles import ATTRIBUTES

COLUMNS = 8


def draw_examples(real: Labelled, asked: Sequence[dict[str, str]], drawn: Mapping[str, Tensor]) -> Image.Image:
    """A row of real pictures and one for each setting; a column for each of the first prompts.

    Args:
        real: pictures of the concept; a prompt that none of them shows is passed over.
        asked: the attributes of each prompt.
        drawn: by setting, its pictures [N, 3, H, W] uint8 in the order of the prompts.
    """
    found = ((index, _as_asked(real, row)) for index, row in enumerate(asked))
    shown = dict(itertools.islice(((index, fits) for index, fits in found if fits is not None), COLUMNS))
    cells = [[_picture(real.pixels[shown[index]]) for index in shown]]
    cells += [[_picture(pixels[index]) for index in shown] for pixels in drawn.values()]
    columns = [", ".join(asked[index][name] for name in ("skin", "hair", "background")) for index in shown]
    return draw_grid(cells, ["real", *drawn], columns, "asked for: skin, hair, background")


def _as_asked(real: Labelled, asked: dict[str, str]) -> int | None:
    """The first picture with these attributes."""
    fits = torch.stack([real.labels[name] == CLASSES[name].index(asked[name]) for name in ATTRIBUTES]).all(0)
    return int(fits.int().argmax()) if fits.any() else None


def _picture(pixels: Tensor) -> Image.Image:
    return Image.fromarray(pixels.permute(1, 2, 0).numpy())
