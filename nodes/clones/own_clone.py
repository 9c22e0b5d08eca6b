"""Clones of our own: one for each model of the graph, for one sampling run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import comfy.model_patcher

from .devices import keep_loaded

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher


class _SharedOptions(dict):
    """Model options whose deep copy shares what the lists in them hold, as on newer hosts."""

    def __deepcopy__(self, memo: dict) -> dict[str, Any]:
        return comfy.model_patcher.create_model_options_clone(dict(self))


def own_clone(patcher: ModelPatcher) -> ModelPatcher:
    """A clone for one sampling run, with no state of a loaded model shared except what core shares itself.

    Patch objects are the patcher's own, not copies: what ComfyUI loads for them is what is evaluated.
    """
    options = patcher.model_options
    patcher.model_options = _SharedOptions(options)
    try:
        clone = patcher.clone()
    finally:
        patcher.model_options = options
    clone.hook_backup = {}
    clone.cached_hook_patches = {}
    clone.current_hooks = None
    keep_loaded(clone, patcher)
    return clone


def as_variant(clone: ModelPatcher) -> ModelPatcher:
    """Make a clone of our own safe to be evaluated, and dropped, without ever being loaded (see shared_weights)."""
    clone.backup = {}
    clone.pinned = set()
    clone.weight_inplace_update = False
    clone.is_injected = False
    return clone
