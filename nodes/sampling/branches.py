"""The branches of a run: one for each model of the plan, and which of them share a module."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ...gcfg_core.guidance.plan import BASE, Plan
from ..clones.delegates import without_streaming
from ..clones.devices import drop_shared_clones
from ..clones.own_clone import own_clone
from ..clones.shared_weights import has_same_tensors
from ..other_packs.roles import prediction_pairs, prediction_roles
from .branch import Branch
from .cond_state import has_hooks
from .inputs import input_of

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher


def make_branches(plan: Plan, base: ModelPatcher, conds: Mapping[int, list]) -> list[Branch]:
    """Make a branch for each model of the plan, the base model's first; the guider sets the base's conditions.

    Args:
        base: the guider's; a clone of it is used if the graph has other models.
        conds: the converted conditions of the other models' predictions.
    """
    roles, pairs = prediction_roles(plan), prediction_pairs(plan)
    branches = [Branch(base if len(plan.models) == 1 else own_clone(base), {}, roles, pairs[BASE])]
    for index, model in enumerate(plan.models[1:], 1):
        own = {j: conds[j] for j, known in enumerate(plan.predictions) if known.model == index}
        carrier = next((branch.patcher for branch in branches if branch.patcher.is_clone(model)), None)
        patcher = _clone(model, carrier, own, input_of(plan, index))
        branches.append(Branch(patcher, own, roles, pairs[index]))
    return branches


def _clone(model: Any, carrier: ModelPatcher | None, conds: Mapping[int, list], place: str) -> ModelPatcher:
    """Clone a plan's model for the run, on a module in which weights can be exchanged.

    Args:
        carrier: an earlier model of the plan on the same module.
        place: the node and input that the model comes from.
    """
    needs_tensors = carrier is not None and not has_same_tensors(carrier, model)
    return own_clone(without_streaming(model, place) if needs_tensors or has_hooks(conds) else model)


def share_modules(branches: Sequence[Branch]) -> list[Branch]:
    """Find the branches that share a module; the first is loaded, and the others exchange their weights with it.

    Returns:
        The branches that are loaded.
    """
    loaded: list[Branch] = []
    for branch in branches:
        carrier = next((known for known in loaded if known.patcher.is_clone(branch.patcher)), None)
        if carrier is None:
            loaded.append(branch)
        else:
            branch.carrier, branch.network_states = carrier, carrier.network_states
            carrier.is_shared = branch.is_shared = True
    return loaded


def place(branches: Sequence[Branch], names: Sequence[str]) -> None:
    """Choose each model's devices for the run; log those that differ from the graph's nodes.

    A module is on one device: clones that share it are evaluated on the device of the branch that is loaded.

    Args:
        branches: their ``carrier`` is known; patchers are this pack's clones.
        names: of the branches' models.
    """
    for name, branch in zip(names, branches, strict=True):
        if branch.carrier is not None and branch.carrier.patcher.load_device != branch.patcher.load_device:
            own, other = branch.patcher, branch.carrier.patcher
            logging.warning(
                "GCFG: %s shares its weights with another model of the graph and is evaluated where that model lies, "
                "on %s, not on %s as Select Model Device says.", name, other.load_device, own.load_device,
            )  # fmt: skip
            own.load_device, own.offload_device = other.load_device, other.offload_device
    if len(branches) == 1:  # the user's own patcher, which ComfyUI handles by itself
        return
    for index in drop_shared_clones([branch.patcher for branch in branches]):
        logging.info(
            "GCFG: %s does not use all devices of MultiGPU CFG Split: there it shares weights, or a device, with "
            "another model of the graph.", names[index],
        )  # fmt: skip
