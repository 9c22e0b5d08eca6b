"""The role of each prediction, which other packs' patches read: positive or negative of a (cond, uncond) pair."""

from __future__ import annotations

from collections.abc import Mapping

from ...gcfg_core.guidance.plan import Plan

COND, UNCOND = 0, 1
"""Values of cond_or_uncond for patches; some patches index a pair with them, so there are never more than these two."""


def prediction_roles(plan: Plan) -> dict[int, int]:
    """Return COND for the positive side of a term (or the only prediction), UNCOND for predictions that are only
    references."""
    positives = {positive for positive, _ in plan.sides}
    return {j: COND if j in positives or not plan.terms else UNCOND for j in range(len(plan.predictions))}


def prediction_pair(plan: Plan, roles: Mapping[int, int], model: int) -> tuple[int, ...]:
    """Return the (cond, uncond) of a model: the primary term's sides, or the first term's with both sides on that
    model."""
    primary = [] if plan.primary is None else [plan.sides[plan.primary]]
    for positive, reference in [*primary, *plan.sides]:
        is_own = plan.predictions[positive].model == plan.predictions[reference].model == model
        if is_own and (roles[positive], roles[reference]) == (COND, UNCOND):
            return positive, reference
    return ()


def prediction_pairs(plan: Plan) -> list[tuple[int, ...]]:
    """Return the (cond, uncond) of each model of the plan."""
    roles = prediction_roles(plan)
    return [prediction_pair(plan, roles, model) for model in range(len(plan.models))]
