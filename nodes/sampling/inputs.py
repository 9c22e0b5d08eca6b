"""Names of inputs for messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ...gcfg_core.guidance.plan import Plan


def input_of(plan: Plan, model: int) -> str:
    """Name the input that a model of the plan comes from: "Guidance Term 'style', input 'model'"."""
    for i, (term, sides) in enumerate(zip(plan.terms, plan.sides, strict=True)):
        for name, side in zip(("model", "reference_model"), sides, strict=True):
            if model and plan.predictions[side].model == model:
                return f"Guidance Term {term.label or i + 1!r}, input '{name}'"
    return "GCFG Guider or GCFG Sampler, input 'model'"
