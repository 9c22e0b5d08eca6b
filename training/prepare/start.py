"""The null-text start as a concept."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from gcfg_core.concept.concept import Concept
from gcfg_core.concept.null_text import FEATURE, NullTextAttention, text_attentions

from ..base.model import Base
from ..export.concept import described
from .calibrate import Calibration


def start_concept(
    base: Base, calibration: Calibration, *, prepared: Mapping[str, Any] | None = None, title: str = ""
) -> Concept:
    """Return the base without its cross-attention as a concept, before any training.

    Args:
        base: its UNet is not changed; its cross-attention may be removed already.
        calibration: this base's.
        prepared: facts about the measurement, as JSON values.
        title: name for people.
    """
    tensors = null_text_tensors(base.unet, calibration.constants)
    training = {"prepared": dict(prepared or {})}
    return Concept(tensors, base.config, title=title, training=training, **described(base))


def null_text_tensors(unet: Any, constants: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a UNet's tensors with each `attn2` replaced by its constant, and without `norm2`; the UNet is not
    changed."""
    tensors: dict[str, Tensor] = dict(unet.state_dict())
    for path, block in text_attentions(unet):
        if isinstance(block.attn2, NullTextAttention):
            continue
        gone = (f"{path}.", f"{path.removesuffix('attn2')}norm2.")
        tensors = {key: value for key, value in tensors.items() if not key.startswith(gone)}
        tensors[f"{path}.{FEATURE}"] = constants[path]
    return tensors
