"""A model that reads text and was trained itself: it is drawn under its own prompt, with no base beside it."""

from collections.abc import Mapping

import torch
from torch import Tensor

from ..base.model import Base
from ..base.world_text import WordText

TEXT = "text."  # how a trained network's tensors begin where its text encoder learns too


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
