"""Set the shapes of a latent's parts on every model of a run, because newer ComfyUI versions read them there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class LatentShapes:
    """The attribute ``latent_shapes`` of ComfyUI's BaseModels, in versions that have it.

    ComfyUI sets it on the base model's own module alone, and leaves it there.
    """

    def __init__(self) -> None:
        self._left: list[tuple[Any, Any]] = []

    def set(self, models: Sequence[Any], shapes: Sequence[Sequence[int]] | None) -> None:
        """Set the shapes of the latent's parts on these models; None if ComfyUI does not give them."""
        for model in models:
            if hasattr(model, "latent_shapes"):
                self._left.append((model, model.latent_shapes))
                model.latent_shapes = shapes

    def restore(self) -> None:
        """Give every model its previous value again; safe to call twice."""
        while self._left:
            model, shapes = self._left.pop()
            model.latent_shapes = shapes
