"""A UNet that reads text: everything in it learns, and with --train-text the text encoder too."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from gcfg_core.concept.forms import AnyConcept
from gcfg_core.errors import InputError

from ..base.model import NAME_TOKENIZER, Base
from ..base.world_text import WordText
from ..export.concept import concept_of
from ..export.facts import TrainingFacts
from ..settings.config import ModelConfig, RunConfig
from .checks import check_weights
from .kind import Kind
from .network import Network

TEXT = "text."  # how a trained network's tensors begin where its text encoder learns too


class Text(Kind):
    """kind text. It is drawn under its own prompt, with no base beside it."""

    @property
    def has_constants(self) -> bool:
        return False

    def read_start(self, start: str, base: Base, model: ModelConfig) -> dict[str, Tensor]:
        raise InputError("start", "none for a model that reads text", start,
                         "Leave it out; a world that was trained is given as --base.")  # fmt: skip

    def empty_start(self, base: Base) -> dict[str, Tensor]:
        return {}

    def network(self, base: Base, start: Mapping[str, Tensor], config: RunConfig) -> Network:
        return text_network(base, config.data.captions != "none", config.model.train_text)

    def concept(
        self, base: Base, state: Mapping[str, Tensor], facts: TrainingFacts, model: Mapping[str, Any], title: str
    ) -> AnyConcept:
        return concept_of(base, state, facts, null_text=False, title=title)

    def check(self, state: Mapping[str, Tensor], base: Base, model: Mapping[str, Any], name: str) -> None:
        check_weights(state, base, False, name)


def text_network(base: Base, reads_captions: bool, train_text: bool) -> Network:
    """A network with its cross-attention; everything in the UNet learns.

    Args:
        base: the base model.
        reads_captions: False: it always gets the empty prompt's condition.
        train_text: the text encoder learns too.

    Raises:
        InputError: captions or `train_text` and a base without text encoder, or one that cannot be trained.
    """
    if (reads_captions or train_text) and base.text is None:
        raise InputError("captions", "a base with tokenizer and text encoder", "a UNet alone",
                         f"{NAME_TOKENIZER}, or train without captions.")  # fmt: skip
    if train_text and not (reads_captions and isinstance(base.text, nn.Module)):
        got = "one that cannot be" if reads_captions else "no captions"
        raise InputError("train_text", "captions, and a text encoder that can be trained", got,
                         "Only worlds of your own have one; leave it out.")  # fmt: skip
    base.unet.requires_grad_(True)
    if train_text:
        base.text.requires_grad_(True)  # type: ignore[union-attr]
    return Network(base.unet, base.null, base.text if reads_captions else None, train_text, null_text=False)


def take_text(base: Base, weights: Mapping[str, Tensor]) -> None:
    """Give the base's text encoder the weights of one that was trained with the UNet; nothing where there are none.

    Args:
        base: changed in place, its empty prompt's condition too.
        weights: of a trained network, by their names in it.
    """
    own = {key.removeprefix(TEXT): value for key, value in weights.items() if key.startswith(TEXT)}
    if own and isinstance(base.text, WordText):
        base.text.load_state_dict({**base.text.state_dict(), **own})
        with torch.no_grad():
            base.null = base.text.encode([""])
