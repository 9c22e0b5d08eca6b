"""Functions of other packs around a forward may keep what one prediction gave for the next: the log names them.

What they keep on the network is apart for each prediction (see `network_state`). What they keep anywhere else, in a
closure or a module, cannot be reached.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ...gcfg_core.guidance.formula import prediction_names
from .foreign_patches import around_a_forward
from .replaced import module_of
from .roles import prediction_pairs

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher

    from ...gcfg_core.guidance.plan import Plan


def log_possible_caches(plan: Plan) -> None:
    """A line for functions of a module around forwards that meet more than one (cond, uncond) pair, on any network."""
    names, pairs = prediction_names(plan), list(map(set, prediction_pairs(plan)))
    found: dict[tuple[int, ...], list[str]] = {}
    for module, models in sorted(_models_by_module(plan).items()):
        asked = tuple(j for j, prediction in enumerate(plan.predictions) if prediction.model in models)
        if len(asked) > 1 and set(asked) not in pairs:
            found.setdefault(asked, []).append(module)
    for asked, modules in found.items():
        logging.warning(
            "GCFG: %s acts around the forwards of %s, which are asked apart. A cache of it that tells prompts "
            "apart by their place in a pair alone, and lies outside the network, would mix them: leave it out "
            "then.",
            ", ".join(modules), ", ".join(names[j] for j in asked),
        )  # fmt: skip


def _models_by_module(plan: Plan) -> dict[str, set[int]]:
    """Module -> indices of the plan's models that carry functions of it around their forwards.

    A network each is no help where the cache lies in the module.
    """
    found: dict[str, set[int]] = {}
    for index, model in enumerate(plan.models):
        patcher: ModelPatcher = model  # type: ignore[assignment]
        for function in around_a_forward(patcher):
            found.setdefault(module_of(function), set()).add(index)
    return found
