"""Facts about a base, beside its UNet's weights, that results depend on; stored in run.json."""

import hashlib
import json
from typing import Any

from gcfg_core.concept.tensor_digest import digest_of

from ..base.model import Base
from ..base.text_digest import text_digest, tokenizer_digest

BASE = "base."  # prefix of their names


def base_settings(base: Base, reads_text: bool) -> dict[str, Any]:
    """Return noise levels, codec and configuration of a base, and its text encoder if the trained model reads text."""
    config = json.dumps(base.config, sort_keys=True, default=str)
    facts = {
        "prediction_type": base.schedule.prediction_type,
        "alphas_cumprod": digest_of({"alphas_cumprod": base.schedule.alphas_cumprod}),
        "codec": base.codec.digest,
        "unet_config": hashlib.sha256(config.encode()).hexdigest(),
    }
    if reads_text and base.text is not None:
        facts |= {"text_encoder": text_digest(base.text), "tokenizer": tokenizer_digest(base.text)}
    return {BASE + name: value for name, value in facts.items()}
