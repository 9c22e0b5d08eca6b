"""Newer hosts keep the shapes of a latent's parts on the model: every model of a run gets them, for the run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class LatentShapes:
    """The attribute ``latent_shapes`` of ComfyUI's BaseModels, where the host has it.

    ComfyUI sets it on the base model's own module alone, and leaves it there.
    """

    def __init__(self) -> None:
        self._left: list[tuple[Any, Any]] = []

    def set(self, models: Sequence[Any], shapes: Sequence[Sequence[int]] | None) -> None:
        """From now on these models work on a latent with parts of these shapes; None where the host does not say."""
        for model in models:
            if hasattr(model, "latent_shapes"):
                self._left.append((model, model.latent_shapes))
                model.latent_shapes = shapes

    def restore(self) -> None:
        """Give every model what it had before; safe to call twice."""
        while self._left:
            model, shapes = self._left.pop()
            model.latent_shapes = shapes
