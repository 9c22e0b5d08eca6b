"""The grid of a sweep: its pictures in rows and columns, with the changing parameters along the sides."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ...gcfg_core.guidance.sweep import Heading
from .canvas import Sheet
from .pen import Pen
from .strip import scale_picture
from .sweep_layout import Layout
from .theme import Theme

NOT_DONE = "not sampled"


def draw_sweep(pictures: Sequence[Tensor], columns: Heading, rows: Heading | None, size: int, theme: Theme) -> Tensor:
    """Draw the grid as [N, H, W, 3], 0 to 1; N grids for a latent batch of N or a video of N frames.

    Args:
        pictures: of the cells, row by row, each [N, h, w, 3]; if the last ones are missing, their places say so.
        size: as for Layout.
    """
    layout = Layout(columns, rows, (pictures[0].shape[1], pictures[0].shape[2]), size)
    grid = sweep_paper(layout, len(pictures), theme).pixels().repeat(len(pictures[0]), 1, 1, 1)
    for k, cell in enumerate(pictures):
        x, y = layout.corner(k)
        scaled = torch.stack([scale_picture(picture, layout.side) for picture in cell])
        grid[:, y : y + layout.height, x : x + layout.width] = scaled
    return grid


def sweep_paper(layout: Layout, done: int, theme: Theme) -> Sheet:
    """Draw everything except the pictures; the first ``done`` of them exist."""
    pen = Pen(theme, *layout.whole)
    _write_columns(pen, layout)
    if layout.rows is not None:
        _write_rows(pen, layout, layout.rows)
    for k in range(done, layout.count):
        x, y = layout.corner(k)
        pen.fill(x, y, layout.width, layout.height, theme.grid)
        middle = x + layout.width / 2, y + layout.height / 2
        pen.write(*middle, NOT_DONE, 0.9 * layout.width, layout.letters, ha="center", color=theme.muted)
    return pen.sheet


def _write_columns(pen: Pen, layout: Layout) -> None:
    room = layout.whole[0] - layout.left - layout.gap
    pen.write(layout.left, layout.gap + layout.line / 2, layout.columns.title, room, layout.letters, bold=True)
    for k, label in enumerate(layout.columns.labels):
        x, y = layout.corner(k)
        middle = x + layout.width / 2, y - 0.55 * layout.head
        pen.write(*middle, label, layout.width, layout.label_letters, ha="center")


def _write_rows(pen: Pen, layout: Layout, rows: Heading) -> None:
    top, bottom = layout.corner(0)[1], layout.corner(layout.count - 1)[1] + layout.height
    middle = layout.gap + layout.line / 2, (top + bottom) / 2
    pen.write(*middle, rows.title, bottom - top, layout.letters, bold=True, rotation=90, ha="center")
    for k, label in enumerate(rows.labels):
        y = layout.corner(k * layout.across)[1] + layout.height / 2
        pen.write(layout.left - layout.gap, y, label, layout.room, layout.label_letters, ha="right")
