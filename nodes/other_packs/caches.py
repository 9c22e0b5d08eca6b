"""Log other packs' functions around a forward that may reuse one prediction's result for another.

State that they keep on the network is separate for each prediction (see `network_state`). State that they keep anywhere
else, in a closure or a module, cannot be separated.
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
    """Log the modules whose functions around forwards serve more than one (cond, uncond) pair, on any network."""
    names, pairs = prediction_names(plan), list(map(set, prediction_pairs(plan)))
    modules_asked: dict[tuple[int, ...], list[str]] = {}
    for module, models in sorted(_models_by_module(plan).items()):
        asked = tuple(j for j, prediction in enumerate(plan.predictions) if prediction.model in models)
        if len(asked) > 1 and set(asked) not in pairs:
            modules_asked.setdefault(asked, []).append(module)
    for asked, modules in modules_asked.items():
        logging.warning(
            "GCFG: %s acts around the forwards of %s, which are asked apart. A cache of it that tells prompts "
            "apart by their place in a pair alone, and lies outside the network, would mix them: leave it out "
            "then.",
            ", ".join(modules), ", ".join(names[j] for j in asked),
        )  # fmt: skip


def _models_by_module(plan: Plan) -> dict[str, set[int]]:
    """Map a module to the indices of the plan's models that carry functions of it around their forwards.

    Models with different networks count too, because the cache may be in the module.
    """
    indices: dict[str, set[int]] = {}
    for index, model in enumerate(plan.models):
        patcher: ModelPatcher = model  # type: ignore[assignment]
        for function in around_a_forward(patcher):
            indices.setdefault(module_of(function), set()).add(index)
    return indices
