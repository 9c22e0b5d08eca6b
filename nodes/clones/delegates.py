"""Plain models for clones of streamed models: newer ComfyUI versions stream weights from the file
(ModelPatcherDynamic).

A streamed module cannot take other tensors in, so a clone with other weights is moved to a plain model, for which
ComfyUI reads the file a second time. ComfyUI keeps that model on the clone that asked for it, which is replaced
whenever a LoRA's strength changes. Here the plain model is kept with the streamed module, and freed with it.
"""

from __future__ import annotations

import logging
import weakref
from typing import TYPE_CHECKING, Any, NamedTuple

import comfy.model_patcher

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher


class PlainModel(NamedTuple):
    """A plain module for clones of a streamed model.

    Attributes:
        owner: a patcher without patches; ComfyUI treats it as the module's owner after a clone is deleted.
        override: the module with its loading state, as ComfyUI's ``clone`` accepts it.
    """

    owner: ModelPatcher
    override: tuple


LOADING_STATE = ("backup", "backup_buffers", "object_patches_backup", "pinned")
"""All patchers of one module share these."""

_plain_models: weakref.WeakKeyDictionary[Any, PlainModel] = weakref.WeakKeyDictionary()
"""The streamed module -> its plain model, which must not refer to the streamed module."""


def is_streamed(patcher: ModelPatcher) -> bool:
    is_dynamic = getattr(patcher, "is_dynamic", None)
    return is_dynamic is not None and is_dynamic()


def without_streaming(patcher: ModelPatcher, name: str) -> ModelPatcher:
    """Return the patcher, or for a streamed model a clone of it on the plain model, which all clones share.

    Args:
        name: the node's input that the model comes from, for messages.

    Raises:
        ValueError: the model's loader cannot read the file again.
    """
    if not is_streamed(patcher):
        return patcher
    plain = _plain_models.get(patcher.model)
    if plain is None:
        plain = _plain_models[patcher.model] = _read_again(patcher, name)
    clone = patcher.clone(disable_dynamic=True, model_override=plain.override)
    clone.parent = plain.owner
    return clone


def _read_again(patcher: ModelPatcher, name: str) -> PlainModel:
    known = getattr(patcher, "non_dynamic_delegate_model", None)
    network = type(patcher.model).__name__
    if known is None and patcher.cached_patcher_init is None:
        raise ValueError(
            f"{name}: ComfyUI streams the weights of this {network}, and clones of it with other weights (a LoRA, a "
            "merge, a hook) need a second copy, but its loader does not say how to read the file again. Load the model "
            "with a loader of ComfyUI's own, or start ComfyUI with --disable-dynamic-vram."
        )
    logging.info("GCFG: %s: the file of this %s is read a second time, since its weights are streamed", name, network)
    clone = patcher.clone(disable_dynamic=True, model_override=known)
    owner = comfy.model_patcher.ModelPatcher(clone.model, clone.load_device, clone.offload_device)
    vars(owner).update({key: value for key, value in vars(clone).items() if key in LOADING_STATE})
    return PlainModel(owner, clone.get_clone_model_override())
