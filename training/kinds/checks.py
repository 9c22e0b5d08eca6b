"""Check that a start file or a checkpoint belongs to the base."""

from collections.abc import Mapping

import torch
from torch import Tensor

from gcfg_core.concept.concept import Concept
from gcfg_core.concept.families import shapes_of
from gcfg_core.concept.tensor_check import missing_or_misshapen
from gcfg_core.errors import InputError

from ..base.model import Base
from ..export.facts import base_hash, base_line

REMEDY = "Prepare it from this base, read with the same settings."
GIVE = "Give the base it was trained from."
CLOSE = 1e-3  # tolerance for SDXL's constants, which a file may store in half precision


def check_start(concept: Concept, base: Base) -> None:
    """Compare a concept file's facts about its base with the base; shapes are checked when the tensors are loaded.

    Raises:
        InputError: the prediction type, the noise levels, the base or SDXL's constants differ.
    """
    schedule = base.schedule
    pairs = []
    if not concept.assumptions:  # a bare state dict has only assumptions
        pairs.append(("prediction_type", schedule.prediction_type, concept.prediction_type))
        pairs.append(("zero_terminal_snr", str(schedule.zero_terminal_snr), str(concept.zero_terminal_snr)))
    noted, own_hash = base_hash(concept.base), base_hash(base_line(base))
    if noted and own_hash:
        pairs.append(("sha256 of its base", own_hash[:12], noted[:12]))
    for name, expected, got in pairs:
        if expected != got:
            raise InputError("start", f"{name} {expected} as in {base.name}", got, REMEDY)
    for name, own, its in (
        ("pooled vector", base.null.pooled, concept.text_embeds),
        ("size ids", base.null.time_ids, concept.time_ids),
    ):
        if not _same(own, its):
            raise InputError("start", f"the empty prompt's {name} as in {base.name}", "another", REMEDY)


def _same(own: Tensor | None, its: Tensor | None) -> bool:
    """True if two constants agree, or if the file stores none."""
    if own is None or its is None:
        return its is None
    return own.shape == its.shape and torch.allclose(own.float(), its.float(), rtol=CLOSE, atol=CLOSE)


def check_weights(weights: Mapping[str, Tensor], base: Base, null_text: bool, name: str) -> None:
    """Raise InputError if a checkpoint's UNet does not have the base's shapes.

    Args:
        weights: by their names in the UNet.
        base: the run's base.
        null_text: True if constants replace the cross-attention.
        name: the checkpoint's, for the message.
    """
    odd = missing_or_misshapen(weights, shapes_of(base.config, null_text))
    if odd:
        raise InputError(name, "the network of this base", f"a difference at {odd[0]}", GIVE)
