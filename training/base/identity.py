"""Hashes of a base: of its text encoder, its tokenizer and everything that results depend on, as in run.json."""

import hashlib
import json
from typing import Any

from gcfg_core.concept.tensor_digest import digest_of

from .clip import ClipText
from .model import Base, TextEncoder

PROBE = ["a photo of a cat", "Zwölf Boxkämpfer jagen Viktor, 1234 times!", "naïve  façade — 日本語"]
BASE = "base."  # begins the names of what results depend on


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


def base_settings(base: Base, reads_text: bool) -> dict[str, Any]:
    """Noise levels, codec and configuration of a base, and its text encoder where the trained model reads text."""
    config = json.dumps(base.config, sort_keys=True, default=str)
    found = {
        "prediction_type": base.schedule.prediction_type,
        "alphas_cumprod": digest_of({"alphas_cumprod": base.schedule.alphas_cumprod}),
        "codec": base.codec.digest,
        "unet_config": hashlib.sha256(config.encode()).hexdigest(),
    }
    if reads_text and base.text is not None:
        found |= {"text_encoder": text_digest(base.text), "tokenizer": tokenizer_digest(base.text)}
    return {BASE + name: value for name, value in found.items()}
