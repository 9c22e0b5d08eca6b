"""A sheet of given width in pixels; positions on it are in inches from its upper left corner."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from torch import Tensor

from .ruler import families
from .theme import Theme

WIDTH = 12.0
"""Inches. Text and lines keep their share of the picture whatever its size in pixels."""


class Sheet:
    """A figure without axes; it uses no pyplot state.

    Args:
        pixels: width of the picture.
        height: in inches, at a width of 12.
    """

    def __init__(self, theme: Theme, pixels: int, height: float) -> None:
        self.theme, self.height = theme, height
        dpi = pixels / WIDTH
        rows = round(height * dpi)
        size = (pixels + 0.01) / dpi, (rows + 0.01) / dpi  # so that rounding does not lose a pixel
        self.figure = Figure(figsize=size, dpi=dpi, facecolor=theme.ground)
        FigureCanvasAgg(self.figure)

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Convert inches from the upper left corner to shares from the lower left corner."""
        return x / WIDTH, 1.0 - y / self.height

    def text(self, x: float, y: float, text: str, points: float, **style: Any) -> None:
        """Write one line; by default its left end and middle height are at (x, y). Text is never parsed as
        mathematics."""
        mono = style.pop("mono", False)
        style = {"color": self.theme.ink, "va": "center", "ha": "left", **style}
        self.figure.text(
            *self.place(x, y), text, fontsize=points, fontfamily=families(mono), parse_math=False, usetex=False, **style
        )

    def line(self, xs: list[float], ys: list[float], **style: Any) -> None:
        """Draw a line through points of the sheet."""
        points = [self.place(x, y) for x, y in zip(xs, ys, strict=True)]
        self.figure.add_artist(
            Line2D([x for x, _ in points], [y for _, y in points], transform=self.figure.transFigure, **style)
        )

    def box(self, x: float, y: float, width: float, height: float, color: str, **style: Any) -> None:
        """Draw a filled rectangle with its upper left corner at (x, y)."""
        left, bottom = self.place(x, y + height)
        size = width / WIDTH, height / self.height
        self.figure.add_artist(
            Rectangle((left, bottom), *size, transform=self.figure.transFigure, facecolor=color, lw=0, **style)
        )

    def axes(self, x: float, y: float, width: float, height: float) -> Axes:
        """Add axes in the theme's colours with their upper left corner at (x, y)."""
        left, bottom = self.place(x, y + height)
        axes = self.figure.add_axes((left, bottom, width / WIDTH, height / self.height), facecolor=self.theme.ground)
        axes.set_autoscale_on(False)
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(self.theme.muted)
        axes.tick_params(colors=self.theme.muted, labelcolor=self.theme.ink, labelsize=9, labelfontfamily=families())
        axes.set_axisbelow(True)
        return axes

    def pixels(self) -> Tensor:
        """Return the picture: [1, H, W, 3], 0 to 1."""
        self.figure.canvas.draw()
        return torch.from_numpy(np.array(self.figure.canvas.buffer_rgba())[None, ..., :3]).float() / 255.0
