"""Kind text: the UNet reads text and is trained whole; with --train-text the text encoder is trained too."""

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

TEXT = "text."  # prefix of the text encoder's tensors in a trained network


class Text(Kind):
    """Kind text. Sampled alone, under its own prompt, without a base beside it."""

    @property
    def has_constants(self) -> bool:
        return False

    def read_start(self, start: str, base: Base, model: ModelConfig) -> dict[str, Tensor]:
        raise InputError("start", "no start file for a model that reads text", start,
                         "Leave it out; give a trained world as --base.")  # fmt: skip

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
    """Build a network that keeps its cross-attention; the whole UNet is trained.

    Args:
        base: the base model.
        reads_captions: False: the condition is always that of the empty prompt.
        train_text: train the text encoder too.

    Raises:
        InputError: captions or `train_text` with a base whose text encoder is missing or cannot be trained.
    """
    if (reads_captions or train_text) and base.text is None:
        raise InputError("captions", "a base with tokenizer and text encoder", "a UNet alone",
                         f"{NAME_TOKENIZER}, or train without captions.")  # fmt: skip
    if train_text and not (reads_captions and isinstance(base.text, nn.Module)):
        got = "another text encoder" if reads_captions else "no captions"
        raise InputError("train_text", "captions, and a text encoder that can be trained", got,
                         "Only worlds of your own have a trainable text encoder; leave --train-text out.")  # fmt: skip
    base.unet.requires_grad_(True)
    if train_text:
        base.text.requires_grad_(True)  # type: ignore[union-attr]
    return Network(base.unet, base.null, base.text if reads_captions else None, train_text, null_text=False)


def take_text(base: Base, weights: Mapping[str, Tensor]) -> None:
    """Load trained text-encoder weights into the base's text encoder; do nothing if there are none.

    Args:
        base: changed in place, including its empty-prompt condition.
        weights: of a trained network, by name.
    """
    own = {key.removeprefix(TEXT): value for key, value in weights.items() if key.startswith(TEXT)}
    if own and isinstance(base.text, WordText):
        base.text.load_state_dict({**base.text.state_dict(), **own})
        with torch.no_grad():
            base.null = base.text.encode([""])
