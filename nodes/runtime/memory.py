"""What a run needs beside the memory that ComfyUI estimates for the base model alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import comfy.sampler_helpers

from .shared_weights import exchanged_bytes

if TYPE_CHECKING:
    from .branch import Branch


class Reservation:
    """Asks for memory where ComfyUI asks ControlNets how much they need; no model, and no part in sampling."""

    def __init__(self, nbytes: int) -> None:
        self.nbytes = nbytes

    def get_models(self) -> list:
        return []

    def inference_memory_requirements(self, dtype: Any) -> int:
        return self.nbytes


def extra_memory(branches: Sequence[Branch], shape: Sequence[int], base_conds: Mapping[str, list]) -> int:
    """Bytes on the base model's device: clones' patched tensors, and what the hungriest model's forward needs more.

    Args:
        shape: of the noise, [B, C, ...].
        base_conds: the base model's conditions; the other branches hold theirs.
    """
    base, device = branches[0], branches[0].patcher.load_device
    others = [branch for branch in branches[1:] if branch.patcher.load_device == device]
    estimate = comfy.sampler_helpers.estimate_memory
    needs = [estimate(branch.patcher, shape, branch.conds)[0] for branch in others]
    more = max([0, *needs]) - estimate(base.patcher, shape, base_conds)[0]
    patched = [exchanged_bytes(branch.host.patcher, branch.patcher) for branch in others if branch.host is not None]
    return int(max(more, 0) + sum(patched))


def reserved(nbytes: int) -> dict[str, list]:
    """Conditions to load models with, so that ``nbytes`` stay free; to be dropped before sampling."""
    return {"gcfg_memory": [{"control": Reservation(nbytes)}]} if nbytes > 0 else {}
