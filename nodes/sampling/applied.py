"""The mark of a MODEL that carries guidance terms, and the refusal of one where a plain model belongs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from comfy.patcher_extension import WrappersMP

from .inputs import input_of

if TYPE_CHECKING:
    from ...gcfg_core.guidance.plan import Plan

KEY = "gcfg_terms"
NODE = "Apply Guidance Terms"


def has_terms(model: Any) -> bool:
    """True for a model from `any_sampler.with_terms`, patched further or not."""
    return KEY in model.wrappers.get(WrappersMP.OUTER_SAMPLE, {})


def check_no_terms(plan: Plan) -> None:
    """Refuse models that carry terms: a graph inside a graph would not be evaluated.

    Raises:
        ValueError: names the input and the remedy.
    """
    for index, model in enumerate(plan.models):
        if has_terms(model):
            raise ValueError(
                f"{input_of(plan, index)}: this model carries guidance terms already; connect the model from before "
                f"{NODE}, and chain all terms."
            )
