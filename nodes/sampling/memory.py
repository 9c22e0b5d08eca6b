"""The memory that a run needs beyond ComfyUI's estimate for the base model alone."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import comfy.controlnet
import comfy.sampler_helpers

from ..clones.shared_weights import exchanged_bytes

if TYPE_CHECKING:
    from .branch import Branch

MEGABYTE = 1024.0**2


@dataclasses.dataclass(frozen=True)
class ExtraMemory:
    """Bytes to keep free on the base model's device, by purpose.

    Attributes:
        patched: of the clones' own tensors, by model.
        forward: the largest forward's need beyond the base model's forward.
        hungriest: the model with that forward.
        controls: of the ControlNets in conditions on other models than the base.
    """

    patched: Mapping[str, int]
    forward: int
    hungriest: str
    controls: int

    @property
    def nbytes(self) -> int:
        return sum(self.patched.values()) + self.forward + self.controls

    def __str__(self) -> str:
        """Write one line: the amount and its parts."""
        reasons = [f"{_megabytes(n)} for the patched weights of {name}" for name, n in self.patched.items()]
        if self.forward:
            reasons.append(f"{_megabytes(self.forward)} since {self.hungriest} needs more for a forward than the base")
        if self.controls:
            reasons.append(f"{_megabytes(self.controls)} for the terms' ControlNets")
        return f"reserved {_megabytes(self.nbytes)} of memory: {', '.join(reasons)}"


def _megabytes(nbytes: int) -> str:
    return f"{nbytes / MEGABYTE:.1f} MB"


def load_with_base(
    branches: Sequence[Branch], names: Sequence[str], shape: Sequence[int], base_conds: Mapping[str, list]
) -> dict[str, list]:
    """Return conditions that make ComfyUI load all models with the base model and keep enough memory free.

    Drop them before sampling. ComfyUI would copy a base model's additional models to its further devices, but leaves
    models of conditions where they are.

    Args:
        branches: the base model's first.
        names: of the branches' models.
        shape: of the noise, [B, C, ...].
        base_conds: the base model's conditions; the other branches hold theirs.
    """
    if len(branches) == 1:
        return {}
    models, controls = [], 0
    for branch in branches[1:]:
        own, asked = branch.to_load()
        models, controls = models + own, controls + asked
    memory = extra_memory(branches, names, shape, base_conds, controls)
    if memory.nbytes:
        logging.info("GCFG: %s", memory)
    return {"gcfg_to_load": [{"additional_models": models, "control": Reservation(memory.nbytes)}]}


def extra_memory(
    branches: Sequence[Branch],
    names: Sequence[str],
    shape: Sequence[int],
    base_conds: Mapping[str, list],
    controls: int,
) -> ExtraMemory:
    """Return the memory that the run needs on the base model's device beyond ComfyUI's estimate for the base model.

    Args:
        branches, names, shape, base_conds: see load_with_base.
        controls: bytes that the ControlNets in the other branches' conditions ask for.
    """
    base, device = branches[0], branches[0].patcher.load_device
    named = list(zip(names, branches, strict=True))[1:]
    others = [(name, branch) for name, branch in named if branch.patcher.load_device == device]
    estimate = comfy.sampler_helpers.estimate_memory
    own = estimate(base.patcher, shape, base_conds)[0]
    needs = [(int(estimate(branch.patcher, shape, branch.conds)[0] - own), name) for name, branch in others]
    more, hungriest = max([(0, ""), *needs])
    patched = {
        name: exchanged_bytes(branch.carrier.patcher, branch.patcher)
        for name, branch in others
        if branch.carrier is not None
    }
    return ExtraMemory({name: nbytes for name, nbytes in patched.items() if nbytes}, more, hungriest, controls)


class Reservation(comfy.controlnet.ControlBase):
    """An object that reserves memory where ComfyUI asks ControlNets for theirs; not a model, unused in sampling."""

    def __init__(self, nbytes: int) -> None:
        super().__init__()
        self.nbytes = nbytes

    def inference_memory_requirements(self, dtype: Any) -> int:
        return self.nbytes

    def deepclone_multigpu(self, load_device: Any, autoregister: bool = False) -> Reservation:
        return self
