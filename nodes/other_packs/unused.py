"""Log the wrappers, hooks and callbacks of a term's model that a run does not use."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from comfy.patcher_extension import CallbacksMP, WrappersMP

from .result_hooks import result_hooks_of

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher

WRAPPERS_THAT_RUN = (
    WrappersMP.CALC_COND_BATCH, WrappersMP.APPLY_MODEL, WrappersMP.DIFFUSION_MODEL, WrappersMP.OUTER_SAMPLE
)  # fmt: skip
"""Wrapper types that take effect on a term's model; others belong to the sampling run as a whole, so to the base."""

MEMORY_WRAPPER = WrappersMP.PREPARE_SAMPLING
"""Surrounds loading; ComfyUI's context windows use it to change the reserved memory, and work without it."""


def log_unused(name: str, model: ModelPatcher, is_loaded: bool) -> None:
    """Log the parts of ``model``, a term's, that take no effect.

    Args:
        name: of the model in formula and log.
        is_loaded: ComfyUI loads it; it is not evaluated on another loaded clone.
    """
    kinds = {kind for kind in model.wrappers if model.get_all_wrappers(kind)}
    lost = result_hooks_of(model.model_options)
    lost += [f"{kind} wrappers" for kind in sorted(kinds - {*WRAPPERS_THAT_RUN, MEMORY_WRAPPER})]
    if lost:
        logging.warning(
            "GCFG: not applied on %s: %s. They act on a whole result: patch the base model with them.",
            name,
            ", ".join(lost),
        )
    if MEMORY_WRAPPER in kinds:
        logging.info(
            "GCFG: memory is reserved without the %s wrappers of %s; context windows work all the same.",
            MEMORY_WRAPPER,
            name,
        )
    if not is_loaded and model.get_all_callbacks(CallbacksMP.ON_LOAD):
        logging.warning(
            "GCFG: not called on %s: its %s callbacks. Another clone of the model is loaded in this graph.",
            name,
            CallbacksMP.ON_LOAD,
        )
