"""The branches of a run: one for each model of the plan, and which of them lie on one module."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ...gcfg_core.plan import BASE, Plan
from .batching import prediction_pair, prediction_roles
from .branch import Branch
from .cond_state import has_hooks
from .delegates import without_streaming
from .host import own_clone
from .inputs import input_of
from .shared_weights import has_same_tensors

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher


def make_branches(plan: Plan, base: ModelPatcher, conds: Mapping[int, list]) -> list[Branch]:
    """A branch for each model of the plan, the base model's first, which gets its conditions from the guider.

    Args:
        base: the guider's; a clone of it is used where the graph has other models.
        conds: the converted conditions of the other models' predictions.
    """
    roles = prediction_roles(plan)
    pairs = [prediction_pair(plan, roles, model) for model in range(len(plan.models))]
    branches = [Branch(base if len(plan.models) == 1 else own_clone(base), {}, roles, pairs[BASE])]
    for index, model in enumerate(plan.models[1:], 1):
        own = {j: conds[j] for j, known in enumerate(plan.predictions) if known.model == index}
        host = next((branch.patcher for branch in branches if branch.patcher.is_clone(model)), None)
        patcher = _clone(model, host, own, input_of(plan, index))
        branches.append(Branch(patcher, own, roles, pairs[index]))
    return branches


def _clone(model: Any, host: ModelPatcher | None, conds: Mapping[int, list], place: str) -> ModelPatcher:
    """A clone of our own of a plan's model, on a module that can take its weights in.

    Args:
        host: an earlier model of the plan on the same module.
        place: the node and input that the model comes from.
    """
    needs_tensors = host is not None and not has_same_tensors(host, model)
    return own_clone(without_streaming(model, place) if needs_tensors or has_hooks(conds) else model)


def share_modules(branches: Sequence[Branch]) -> list[Branch]:
    """Find the branches on one module; of each module the first is loaded, and the others' weights are exchanged with
    its own. Returns those that are loaded."""
    loaded: list[Branch] = []
    for branch in branches:
        host = next((known for known in loaded if known.patcher.is_clone(branch.patcher)), None)
        if host is None:
            loaded.append(branch)
        else:
            branch.host, branch.network_states = host, host.network_states
            host.is_shared = branch.is_shared = True
    return loaded
