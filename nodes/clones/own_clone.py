"""The pack's clones: one for each model of the graph, for one sampling run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import comfy.model_patcher

from .devices import keep_loaded

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher


class _SharedOptions(dict):
    """Model options whose deep copy shares the items of their lists, as in newer ComfyUI versions."""

    def __deepcopy__(self, memo: dict) -> dict[str, Any]:
        return comfy.model_patcher.create_model_options_clone(dict(self))


def own_clone(patcher: ModelPatcher) -> ModelPatcher:
    """Clone a patcher for one sampling run, without sharing state of loading beyond what ComfyUI's clones share.

    Patch objects are not copied: ComfyUI loads the models that belong to them, and exactly those must be evaluated.
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
    """Make a clone safe to evaluate and delete without ever being loaded (see shared_weights)."""
    clone.backup = {}
    clone.pinned = set()
    clone.weight_inplace_update = False
    clone.is_injected = False
    return clone
