"""Name the condition whose text features come from another model's CLIP; the network says only that shapes differ."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ...gcfg_core.concept.null_text import NullTextAttention
from ..loading.lora_concept_model import NullTextForward

if TYPE_CHECKING:
    from ...gcfg_core.guidance.plan import Plan, Prediction


@contextlib.contextmanager
def naming_foreign_text(plan: Plan) -> Iterator[None]:
    """Raise a ValueError that names term and input, if an error in the block comes with text features of a width that
    the model does not read."""
    try:
        yield
    except RuntimeError as error:
        if "shape" not in str(error) or not (found := foreign_text(plan)):
            raise
        raise ValueError(found) from error


def foreign_text(plan: Plan) -> str:
    """Return what is wrong with the first condition whose text features are too wide or too narrow; "" if none is."""
    for j, prediction in enumerate(plan.predictions):
        given, wanted = _width(prediction.condition), _width_read(plan, prediction)
        if given and wanted and given != wanted:
            return (
                f"{_input_of(plan, j)}: the text features are {given} wide, but the model reads {wanted}: they come "
                "from another model's CLIP. Encode this prompt with the CLIP that belongs to the model."
            )
    return ""


def _width(condition: Any) -> int:
    """Return the width of a CONDITIONING's text features; 0 if it has none."""
    features = next((entry[0] for entry in condition), None)
    return int(features.shape[-1]) if hasattr(features, "shape") and features.ndim == 3 else 0


def _width_read(plan: Plan, prediction: Prediction) -> int:
    """Return the width that a model's cross-attention reads; 0 if it reads none, or if that is not known."""
    model: Any = plan.models[prediction.model]
    wanted = getattr(model.model.model_config, "unet_config", {}).get("context_dim")
    layers = [*model.model.diffusion_model.modules(), *model.object_patches.values()]
    is_text_free = any(isinstance(layer, NullTextAttention | NullTextForward) for layer in layers)
    return wanted if isinstance(wanted, int) and not is_text_free else 0


def _input_of(plan: Plan, j: int) -> str:
    for i, (term, sides) in enumerate(zip(plan.terms, plan.sides, strict=True)):
        for name, side in zip(("positive", "reference"), sides, strict=True):
            if side == j and getattr(term, name).condition is not None:
                return f"Guidance Term {term.label or i + 1!r}, input '{name}'"
    return "GCFG Guider or GCFG Sampler, input 'conditioning'"
