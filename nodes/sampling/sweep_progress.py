"""Progress over all pictures of a sweep, with the grid so far as a preview."""

from __future__ import annotations

from typing import Any

import comfy.model_management
import comfy.utils
import latent_preview
import torch
from PIL import Image

from .sample_latent import Callback

SHOWN = 2048
"""Largest side in pixels of the finished grid's preview on the node."""


class SweepProgress:
    """One progress bar over every step of every picture; previews appear at their picture's place in the grid.

    Args:
        model: whose latents are previewed, by the method that is chosen in ComfyUI.
        shape: columns and rows of the grid.
        steps: of each picture.
    """

    def __init__(self, model: Any, shape: tuple[int, int], count: int, steps: int) -> None:
        self.shape, self.steps = shape, steps
        self.bar = comfy.utils.ProgressBar(count * steps)
        self.previewer = latent_preview.get_previewer(model.load_device, model.model.latent_format)
        self.sheet: Image.Image | None = None

    def callback(self, cell: int) -> Callback:
        """Return the sampler callback of this cell."""

        def show_step(step: int, x0: torch.Tensor, x: torch.Tensor, steps: int) -> None:
            share = min((step + 1) / max(steps, 1), 1.0)
            self.bar.update_absolute(round((cell + share) * self.steps), preview=self._preview(cell, x0))

        return show_step

    def show(self, grid: torch.Tensor) -> None:
        """Show the finished grid [H, W, 3] as the last preview, unless Cancel was pressed after sampling ended.

        ComfyUI handles that Cancel before the next node; here it would cost the grid.
        """
        if comfy.model_management.processing_interrupted():
            return
        picture = Image.fromarray(grid.mul(255.0).round().byte().numpy())
        picture.thumbnail((SHOWN, SHOWN))
        self.bar.update_absolute(self.bar.current, preview=("JPEG", picture, None))

    def _preview(self, cell: int, x0: torch.Tensor) -> Any:
        """Return (format, picture, largest side) as in ComfyUI's previews; other packs' previews stay as they are."""
        if self.previewer is None:
            return None
        shown = self.previewer.decode_latent_to_preview_image("JPEG", x0)
        if not (isinstance(shown, tuple) and len(shown) == 3 and isinstance(shown[1], Image.Image)):
            return shown
        kind, picture, most = shown
        return kind, self._on_the_sheet(cell, picture, most), most

    def _on_the_sheet(self, cell: int, picture: Image.Image, most: int) -> Image.Image:
        """Return a copy of the grid with this picture in it, at most ``most`` pixels large; ComfyUI sends it later."""
        columns, rows = self.shape
        tile = picture.copy()
        tile.thumbnail([max(most // max(columns, rows), 1)] * 2)
        if self.sheet is None:
            self.sheet = Image.new("RGB", (columns * tile.width, rows * tile.height))
        row, column = divmod(cell, columns)
        self.sheet.paste(tile, (column * tile.width, row * tile.height))
        return self.sheet.copy()
