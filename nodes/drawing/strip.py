"""Pictures side by side, each with its name above it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from .canvas import WIDTH, Sheet
from .ruler import fit
from .theme import Theme

GAP, EDGE = 16, 24
"""In pixels."""
TITLE_POINTS, NAME_POINTS = 15.0, 11.0
"""Font sizes at 100 pixels per inch."""
TITLE_ROOM, NAME_ROOM = 64, 34
ACROSS = 6
"""Largest number of pictures in a row."""


@dataclass(frozen=True)
class Grid:
    """The positions of pictures of one size, in pixels."""

    count: int
    width: int
    height: int

    @property
    def columns(self) -> int:
        rows = -(-self.count // ACROSS)
        return -(-self.count // rows)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the whole."""
        rows = -(-self.count // self.columns)
        across = self.columns * (self.width + GAP) - GAP
        return max(across, 420) + 2 * EDGE, TITLE_ROOM + rows * (NAME_ROOM + self.height + GAP) + EDGE - GAP

    def corner(self, k: int) -> tuple[int, int]:
        """Return the upper left corner of picture k."""
        row, column = divmod(k, self.columns)
        return EDGE + column * (self.width + GAP), TITLE_ROOM + row * (NAME_ROOM + self.height + GAP) + NAME_ROOM


def draw_strip(title: str, pictures: Mapping[str, Tensor], side: int, theme: Theme) -> Sheet:
    """Draw pictures [H, W, 3] of one size on a sheet, with their longer side scaled to ``side`` pixels."""
    scaled = {name: scale_picture(picture, side) for name, picture in pictures.items()}
    height, width = next(iter(scaled.values())).shape[:2]
    grid = Grid(len(scaled), width, height)
    pixels, rows = grid.size
    inch = WIDTH / pixels  # inches of the sheet per pixel
    points = 100.0 * inch  # points of the sheet for a point at 100 pixels per inch
    sheet = Sheet(theme, pixels, rows * inch)
    title = fit(title, (pixels - 2 * EDGE) / 100.0, TITLE_POINTS, bold=True)
    sheet.text(EDGE * inch, 32 * inch, title, TITLE_POINTS * points, weight="bold")
    for k, (name, picture) in enumerate(scaled.items()):
        x, y = grid.corner(k)
        label = fit(name, width / 100.0, NAME_POINTS)
        sheet.text(x * inch, (y - 16) * inch, label, NAME_POINTS * points)
        sheet.figure.figimage(picture.numpy(), x, rows - y - height, origin="upper", resize=False)
    return sheet


def scale_picture(picture: Tensor, side: int) -> Tensor:
    """Scale [H, W, 3] to a longer side of ``side`` pixels: enlarge by nearest pixel, shrink by averaging."""
    factor = side / max(picture.shape[:2])
    size = [max(round(edge * factor), 1) for edge in picture.shape[:2]]
    channels = picture.float().clamp(0.0, 1.0).movedim(-1, 0)[None]
    if factor >= 1.0:
        channels = torch.nn.functional.interpolate(channels, size=size, mode="nearest-exact")
    else:
        channels = torch.nn.functional.interpolate(channels, size=size, mode="bilinear", antialias=True)
    return channels[0].movedim(0, -1).contiguous()
