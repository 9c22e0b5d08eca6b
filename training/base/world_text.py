"""A small world's text encoder: a `TextEncoder` that is a module and can be trained."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel

from gcfg_core.world.text_encoder import SmallTextEncoder
from gcfg_core.world.tokenizer import WordTokenizer

from ..seeds import seed_of
from .clip import WRAPPER, build_clip, unwrapped
from .model import Condition


class WordText(nn.Module):
    """transformers' CLIPTextModel with a word-level tokenizer.

    Args:
        model: CLIPTextModel of the sizes in ``config``.
        config: CLIPTextConfig's keys, from `gcfg_core.world.text_encoder.text_config`.
        tokenizer: vocabulary and length.
    """

    def __init__(self, model: Any, config: Mapping[str, Any], tokenizer: WordTokenizer) -> None:
        super().__init__()
        self.model = model
        self.config = dict(config)
        self.tokenizer = tokenizer

    def encode(self, captions: Sequence[str]) -> Condition:
        """Return hidden_states [B, T, C] of captions, cut to length; differentiable, without pooled vector."""
        ids = torch.tensor([self.tokenizer.encode(caption) for caption in captions])
        return Condition(self(ids.to(self.model.device)))

    def forward(self, ids: Tensor) -> Tensor:
        """Return the last hidden state after the final norm [B, T, C] for ids [B, T]."""
        return self.model(input_ids=ids).last_hidden_state

    def stored(self, weights: Mapping[str, Tensor] | None = None) -> SmallTextEncoder:
        """Return the encoder in the form that is written to a file.

        Args:
            weights: values that replace some parameters, by name in this module.
        """
        tensors = {**self.state_dict(), **(weights or {})}
        bare = unwrapped({key.removeprefix("model."): value for key, value in tensors.items()}, projection=False)
        return SmallTextEncoder({WRAPPER + key: value for key, value in bare.items()}, self.config, self.tokenizer)


def word_text(stored: SmallTextEncoder, name: str) -> WordText:
    """Load a stored text encoder as a frozen module in float32 on the CPU; ``name`` is for messages.

    Raises:
        InputError: the tensors do not fit the configuration.
    """
    model = build_clip(stored.config, stored.tensors, projection=False, name=name)
    return WordText(model, stored.config, stored.tokenizer).eval().requires_grad_(False)


def new_word_text(config: Mapping[str, Any], tokenizer: WordTokenizer, seed: int) -> WordText:
    """Create a text encoder; initial weights depend only on seed and sizes; frozen, float32 on the CPU."""
    known = CLIPTextConfig(**config)
    known.dtype = torch.float32
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(seed, "world", "text"))
        model = CLIPTextModel(known)
    return WordText(model, config, tokenizer).eval().requires_grad_(False)
