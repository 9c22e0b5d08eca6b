"""The CLIP of a small world: ComfyUI's text network at the world's sizes, with the world's vocabulary.

Everything else is ComfyUI's: prompt weights, escapes, embeddings, LoRA names (as SD1.5's "clip_l") and hooks.
"""

from __future__ import annotations

import functools
import logging
import re
from collections.abc import Sequence
from typing import Any

import comfy.sd
import folder_paths
import torch
from comfy.clip_model import CLIPTextModel
from comfy.sd1_clip import (
    SD1ClipModel,
    SD1Tokenizer,
    SDClipModel,
    SDTokenizer,
    escape_important,
    token_weights,
    unescape_important,
)
from comfy.supported_models_base import ClipTarget

from ...gcfg_core.world.text_encoder import SmallTextEncoder
from ...gcfg_core.world.tokenizer import BEGIN, END, PAD, WordTokenizer
from ..comfyui.versions import whole_clip

EMBEDDING = re.compile(r"embedding:\S+")  # how a prompt names a textual inversion


def world_clip(encoder: SmallTextEncoder, title: str) -> comfy.sd.CLIP:
    """Make a ComfyUI CLIP from a world's text encoder, in float32 on every device.

    Args:
        encoder: checked, as `read_text_encoder` returns it.
        title: of the world, for messages.
    """
    words, config = encoder.tokenizer, dict(encoder.config)
    network = functools.partial(
        SDClipModel,
        max_length=words.length,
        textmodel_json_config=config,
        model_class=WorldTextModel,
        special_tokens={"start": BEGIN, "end": END, "pad": PAD},
        return_projected_pooled=False,
    )
    prompts = functools.partial(PromptTokenizer, words=words, width=config["hidden_size"], title=title)
    target = ClipTarget(
        functools.partial(SD1Tokenizer, tokenizer=prompts), functools.partial(SD1ClipModel, clip_model=network)
    )
    clip = whole_clip(target, folder_paths.get_folder_paths("embeddings"), torch.float32)
    projection = torch.eye(config["hidden_size"])  # worlds have no projection, but ComfyUI's network always does
    left = clip.load_sd({**encoder.tensors, "text_projection.weight": projection})
    assert not left.missing_keys and not left.unexpected_keys, f"a text encoder that was checked: {left}"
    return clip


class WorldTextModel(CLIPTextModel):
    """ComfyUI's text network with as many token embeddings as the file has; ComfyUI's own always has CLIP's 49408."""

    def __init__(self, config: dict[str, Any], dtype: torch.dtype, device: torch.device, operations: Any) -> None:
        super().__init__(config, dtype, device, operations)
        words, width = config["vocab_size"], config["hidden_size"]
        self.set_input_embeddings(operations.Embedding(words, width, dtype=dtype, device=device))


class Vocabulary:
    """Our tokenizer with the methods of transformers' tokenizers that ComfyUI's SDTokenizer calls."""

    def __init__(self, words: WordTokenizer) -> None:
        self.words = words

    @classmethod
    def from_pretrained(cls, path: str, words: WordTokenizer) -> Vocabulary:
        """Return the tokenizer; transformers' classes are made this way, but ``path`` would be a folder of files."""
        return cls(words)

    def __call__(self, text: str) -> dict[str, list[int]]:
        return {"input_ids": [BEGIN, *(number for number, _ in self.words.tokenize(text)), END]}

    def get_vocab(self) -> dict[str, int]:
        return dict(self.words.ids)


class PromptTokenizer(SDTokenizer):
    """ComfyUI's tokenizer over a world's words. As in training, long text is cut off; the log names the lost words."""

    def __init__(
        self,
        embedding_directory: Any = None,
        tokenizer_data: Any = None,
        *,
        words: WordTokenizer,
        width: int,
        title: str,
    ) -> None:
        super().__init__(
            max_length=words.length,
            pad_with_end=False,
            pad_token=PAD,
            embedding_directory=embedding_directory,
            embedding_size=width,
            tokenizer_class=Vocabulary,
            tokenizer_data=tokenizer_data or {},
            tokenizer_args={"words": words},
        )
        self.words, self.title = words, title
        self.max_word_length = 1  # so that the kept text ends at a word, not where a weight changes

    def tokenize_with_weights(self, text: str, return_word_ids: bool = False, **options: Any) -> list[list[tuple]]:
        """Return one row of ``length`` tokens, as (id, weight) or (id, weight, number of the part)."""
        log_unknown(self.words.unknown(plain_text(text, bool(options.get("disable_weights")))), self.title)
        rows = super().tokenize_with_weights(text, return_word_ids, **options)
        if len(rows) > 1:
            room = self.words.length - 2
            logging.warning("GCFG: %r reads %d words of a prompt; what comes after them is left out", self.title, room)
        return rows[:1]


def plain_text(prompt: str, as_written: bool = False) -> str:
    """Return a prompt without weights and embeddings.

    Args:
        as_written: brackets are words of the prompt, not weights.
    """
    text = escape_important(prompt)
    parts = [text] if as_written else [part for part, _ in token_weights(text, 1.0)]
    return EMBEDDING.sub(" ", unescape_important("\n".join(parts)))


def log_unknown(words: Sequence[str], title: str) -> None:
    """Log the words of a prompt that are not in a world's vocabulary."""
    if words:
        logging.warning("GCFG: %r was not trained on: %s. These words have no meaning there", title, ", ".join(words))
