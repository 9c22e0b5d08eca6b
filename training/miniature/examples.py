"""Example grids: pictures of several settings for the same prompts, below matching real pictures."""

import itertools
from collections.abc import Iterable, Mapping, Sequence

import torch
from PIL import Image
from torch import Tensor

from ..sample.grid import draw_grid
from .labelled import CLASSES, Labelled
from .settings import ASKED
from .styles import ATTRIBUTES, GLASSES

COLUMNS = 8


def draw_examples(real: Labelled, asked: Sequence[dict[str, str]], drawn: Mapping[str, Tensor]) -> Image.Image:
    """Make a grid: a row of real pictures, then a row per setting; a column for each of the first prompts.

    Args:
        real: pictures of the concept; prompts that no picture matches are skipped.
        asked: the attributes of each prompt.
        drawn: pictures [N, 3, H, W] uint8 of each setting, in the order of the prompts.
    """
    found = ((index, _as_asked(real, row)) for index, row in enumerate(asked))
    shown = dict(itertools.islice(((index, fits) for index, fits in found if fits is not None), COLUMNS))
    return _grid({"real": [real.pixels[shown[index]] for index in shown], **_chosen(drawn, shown)}, asked, shown)


def draw_glasses(asked: Sequence[dict[str, str]], drawn: Mapping[str, Tensor]) -> Image.Image:
    """Make a grid: a row per setting, a column for each of the first prompts with glasses, which no real picture
    shows."""
    shown = [index for index, row in enumerate(asked) if row.get(GLASSES) == "yes"][:COLUMNS]
    rows = {name.removesuffix(ASKED): row for name, row in _chosen(drawn, shown).items()}
    return _grid(rows, asked, shown, ", and glasses")


def _chosen(drawn: Mapping[str, Tensor], shown: Iterable[int]) -> dict[str, list[Tensor]]:
    return {name: [pixels[index] for index in shown] for name, pixels in drawn.items()}


def _grid(
    rows: Mapping[str, list[Tensor]], asked: Sequence[dict[str, str]], shown: Iterable[int], more: str = ""
) -> Image.Image:
    cells = [[_picture(pixels) for pixels in row] for row in rows.values()]
    columns = [", ".join(asked[index][name] for name in ("skin", "hair", "background")) for index in shown]
    return draw_grid(cells, [*rows], columns, f"asked for: skin, hair, background{more}")


def _as_asked(real: Labelled, asked: dict[str, str]) -> int | None:
    """Return the index of the first picture with these attributes."""
    fits = torch.stack([real.labels[name] == CLASSES[name].index(asked[name]) for name in ATTRIBUTES]).all(0)
    return int(fits.int().argmax()) if fits.any() else None


def _picture(pixels: Tensor) -> Image.Image:
    return Image.fromarray(pixels.permute(1, 2, 0).numpy())
