"""Functions of other packs around a forward may keep what one prediction gave for the next: the log names them.

What they keep on the network is apart for each prediction (see `network_state`). What they keep anywhere else, in a
closure or a module, cannot be reached.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from ...gcfg_core.guidance.formula import prediction_names
from .foreign_patches import around_a_forward
from .replaced import module_of

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher

    from ...gcfg_core.guidance.plan import Plan


def log_possible_caches(plan: Plan, pairs: Sequence[Collection[int]]) -> None:
    """A line for each network with functions around its forwards that meet more than one (cond, uncond) pair.

    Args:
        pairs: each model's.
    """
    names, known = prediction_names(plan), list(map(set, pairs))
    for models in _models_by_network(plan):
        modules = sorted({module_of(one) for index in models for one in around_a_forward(plan.models[index])})
        asked = [j for j, prediction in enumerate(plan.predictions) if prediction.model in models]
        if modules and len(asked) > 1 and set(asked) not in known:
            logging.warning(
                "GCFG: %s acts around the forwards of %s, which are asked apart. A cache of it that tells prompts "
                "apart by their place in a pair alone, and lies outside the network, would mix them: leave it out "
                "then.",
                ", ".join(modules), ", ".join(names[j] for j in asked),
            )  # fmt: skip


def _models_by_network(plan: Plan) -> list[list[int]]:
    """Indices of the plan's models that lie on one network and carry functions around its forwards."""
    found: dict[int, list[int]] = {}
    for index, model in enumerate(plan.models):
        patcher: ModelPatcher = model  # type: ignore[assignment]
        if around_a_forward(patcher):
            found.setdefault(id(patcher.model), []).append(index)
    return list(found.values())
