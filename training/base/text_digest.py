"""Hashes of a text encoder and of its tokenizer."""

import hashlib
import json
from typing import Any

from gcfg_core.concept.tensor_digest import digest_of

from .clip import ClipText
from .model import TextEncoder

PROBE = ["a photo of a cat", "Zwölf Boxkämpfer jagen Viktor, 1234 times!", "naïve  façade — 日本語"]


def text_digest(text: TextEncoder) -> str:
    """Hash a text encoder's weights."""
    modules: Any = [encoder.model for encoder in text.encoders] if isinstance(text, ClipText) else [text]
    return _joined([digest_of(module.state_dict()) for module in modules])


def tokenizer_digest(text: TextEncoder) -> str:
    """Hash a vocabulary, its padding and how it splits some test texts."""
    if isinstance(text, ClipText):
        parts = [[e.tokenizer and e.tokenizer.get_vocab(), e.pad, _probe(e)] for e in text.encoders]
    else:
        tokenizer: Any = getattr(text, "tokenizer", None)
        parts = [[getattr(tokenizer, "words", None), getattr(tokenizer, "length", None)]]
    return _joined(parts)


def _probe(encoder: Any) -> list[list[int]]:
    return encoder.ids([""] if encoder.tokenizer is None else PROBE).tolist()


def _joined(parts: list[Any]) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
