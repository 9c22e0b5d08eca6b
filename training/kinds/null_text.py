"""Kind null-text: every weight of the UNet is trained, and no layer reads text."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gcfg_core.concept.concept_file import read_concept
from gcfg_core.concept.families import network_of
from gcfg_core.concept.forms import AnyConcept
from gcfg_core.concept.null_text import FEATURE, text_attentions
from gcfg_core.errors import ConceptFileError, InputError

from ..base.model import Base
from ..console.program import PROGRAM
from ..export.concept import concept_of
from ..export.facts import TrainingFacts
from ..settings.config import ModelConfig, RunConfig
from .checks import check_start, check_weights
from .kind import Kind
from .network import Network

NULL_TEXT, PREPARE = "a null-text file", f"Make it with `{PROGRAM} prepare`."


class NullText(Kind):
    """Kind null-text."""

    @property
    def has_constants(self) -> bool:
        return True

    def read_start(self, start: str, base: Base, model: ModelConfig) -> dict[str, Tensor]:
        return {key: value.float() for key, value in read_null_text(start, base).items()}

    def empty_start(self, base: Base) -> dict[str, Tensor]:
        widths = {path: block.attn2.to_q.in_features for path, block in text_attentions(base.unet)}  # type: ignore[union-attr]
        return {f"{path}.{FEATURE}": torch.zeros(1, 1, width) for path, width in widths.items()}  # type: ignore[arg-type]

    def network(self, base: Base, start: Mapping[str, Tensor], config: RunConfig) -> Network:
        unet = null_text_unet(base, start).requires_grad_(True)
        learn_constants(unet, config.model.train_constant)
        return Network(unet, base.null)

    def concept(
        self, base: Base, state: Mapping[str, Tensor], facts: TrainingFacts, model: Mapping[str, Any], title: str
    ) -> AnyConcept:
        return concept_of(base, state, facts, null_text=True, title=title)

    def check(self, state: Mapping[str, Tensor], base: Base, model: Mapping[str, Any], name: str) -> None:
        check_weights(state, base, True, name)


def null_text_unet(base: Base, start: Mapping[str, Tensor]) -> nn.Module:
    """Remove the text attention from the base's UNet, in place, and load the start tensors.

    Args:
        base: the base model.
        start: tensors of the null-text UNet by name, at least the constants; other weights stay the base's.

    Raises:
        InputError: `start` does not fit this base.
    """
    unet = network_of(base.config).remove_text(base.unet)
    if set(start) - set(unet.state_dict()) or not _constants(unet) <= set(start):
        odd = sorted(set(start) ^ _constants(unet))[0]
        raise InputError("start", "the constants of this base's layers", f"a difference at {odd}",
                         "Prepare it from this base.")  # fmt: skip
    for name, value in unet.state_dict().items():
        if name in start and start[name].shape != value.shape:
            raise InputError("start", f"{name} of shape {list(value.shape)}", f"shape {list(start[name].shape)}",
                             "Prepare it from this base.")  # fmt: skip
    unet.load_state_dict(dict(start), strict=False)
    return unet


def learn_constants(unet: nn.Module, learn: bool) -> None:
    """Unfreeze the null-text constants, or freeze them."""
    for name, parameter in unet.named_parameters():
        if name.endswith(FEATURE):
            parameter.requires_grad_(learn)


def _constants(unet: nn.Module) -> set[str]:
    return {name for name, _ in unet.named_parameters() if name.endswith(FEATURE)}


def read_null_text(start: str, base: Base) -> Mapping[str, Tensor]:
    """Return the tensors of a null-text file, written by `prepare` or by a run.

    Raises:
        InputError: the file cannot be read, is not null-text, or belongs to another base.
    """
    try:
        concept = read_concept(Path(start))
    except (ConceptFileError, OSError) as error:
        raise InputError("start", NULL_TEXT, str(error), PREPARE) from None
    if not concept.null_text:
        raise InputError("start", NULL_TEXT, concept.kind, PREPARE)
    check_start(concept, base)
    return concept.tensors
