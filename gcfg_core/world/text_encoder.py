"""The file of a small text encoder: a CLIP text model of any size with a word-level vocabulary.

One .safetensors file. Tensors: transformers' CLIPTextModel names with "text_model." before them, as in ComfyUI's
comfy/clip_model.py. Metadata, all strings: `gcfg.format` = "1", `gcfg.kind` = "text-encoder", `gcfg.text_config` (JSON,
CLIPTextConfig's keys, which are also ComfyUI's `textmodel_json_config`) and `gcfg.vocabulary` (JSON,
`WordTokenizer.to_json`).

The network has a causal mask and no padding mask, and returns its last hidden state after the final norm, like
CLIPTextModel without an attention mask and SDClipModel with its defaults.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ..concept.tensor_check import check_tensors
from ..concept.tensor_file import write_tensors
from ..errors import ConceptFileError
from .part_file import AGAIN, json_value, open_part, part_metadata
from .tokenizer import BEGIN, END, PAD, WordTokenizer

KIND = "text-encoder"
CONFIG_KEY, VOCABULARY_KEY = "gcfg.text_config", "gcfg.vocabulary"
SIZES = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
# Values that ComfyUI's network has for every model; a file with other values is refused.
FIXED: dict[str, Any] = {
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
    "bos_token_id": BEGIN,
    "eos_token_id": END,
    "pad_token_id": PAD,
}


@dataclass(frozen=True, eq=False)
class SmallTextEncoder:
    """A text encoder in memory.

    Attributes:
        tensors: in CLIPTextModel's names, with "text_model." before each.
        config: CLIPTextConfig's keys, as `text_config` returns them.
        tokenizer: its vocabulary and length.
    """

    tensors: Mapping[str, Tensor]
    config: Mapping[str, Any]
    tokenizer: WordTokenizer


def text_config(tokenizer: WordTokenizer, width: int, layers: int, heads: int) -> dict[str, Any]:
    """Return the configuration of a text encoder of ``width`` channels, with feed-forward layers four times as wide.

    Raises:
        ConceptFileError: a size is not a positive integer, or the number of heads does not divide the width.
    """
    config = {
        "vocab_size": len(tokenizer),
        "max_position_embeddings": tokenizer.length,
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        **FIXED,
    }
    check_config(config, tokenizer)
    return config


def check_config(config: Mapping[str, Any], tokenizer: WordTokenizer) -> None:
    """Raise ConceptFileError unless the configuration is of this format and fits the vocabulary."""
    fixed = {**FIXED, "vocab_size": len(tokenizer), "max_position_embeddings": tokenizer.length}
    odd = sorted(set(config) ^ {*SIZES, *fixed})
    if odd:
        raise ConceptFileError(CONFIG_KEY, f"the keys {', '.join(sorted({*SIZES, *fixed}))}", f"{odd[0]}", AGAIN)
    for key, value in fixed.items():
        if config[key] != value:
            raise ConceptFileError(f"{CONFIG_KEY}: {key}", repr(value), repr(config[key]), AGAIN)
    for key in SIZES:
        if type(config[key]) is not int or config[key] < 1:
            raise ConceptFileError(f"{CONFIG_KEY}: {key}", "a whole number above 0", repr(config[key]), AGAIN)
    width, heads = config["hidden_size"], config["num_attention_heads"]
    if width % heads:
        raise ConceptFileError(f"{CONFIG_KEY}: num_attention_heads", f"a divisor of {width}", str(heads), AGAIN)


def tensor_shapes(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Return the shape of every tensor of a text encoder, by name."""
    width, inner = config["hidden_size"], config["intermediate_size"]
    shapes: dict[str, tuple[int, ...]] = {
        "text_model.embeddings.token_embedding.weight": (config["vocab_size"], width),
        "text_model.embeddings.position_embedding.weight": (config["max_position_embeddings"], width),
        "text_model.final_layer_norm.weight": (width,),
        "text_model.final_layer_norm.bias": (width,),
    }
    linear = {f"self_attn.{name}_proj": (width, width) for name in ("q", "k", "v", "out")}
    linear |= {"mlp.fc1": (inner, width), "mlp.fc2": (width, inner)}
    for layer in range(config["num_hidden_layers"]):
        path = f"text_model.encoder.layers.{layer}"
        for name, shape in linear.items():
            shapes |= {f"{path}.{name}.weight": shape, f"{path}.{name}.bias": shape[:1]}
        for norm in ("layer_norm1", "layer_norm2"):
            shapes |= {f"{path}.{norm}.weight": (width,), f"{path}.{norm}.bias": (width,)}
    return shapes


def check_text_encoder(encoder: SmallTextEncoder) -> None:
    """Raise ConceptFileError unless the tensors are exactly those of the network that the configuration describes."""
    check_config(encoder.config, encoder.tokenizer)
    check_tensors("tensors", KIND, encoder.tensors, tensor_shapes(encoder.config), AGAIN)


def read_text_encoder(path: str | os.PathLike[str]) -> SmallTextEncoder:
    """Read and check a text encoder's file.

    Raises:
        ConceptFileError: the file is damaged, incomplete, of another kind, or of a newer format.
    """
    with open_part(path, KIND, "Give the text encoder of a world.") as (tensors, metadata):
        tokenizer = WordTokenizer.from_json(_object(metadata, VOCABULARY_KEY))
        encoder = SmallTextEncoder(tensors, _object(metadata, CONFIG_KEY), tokenizer)
        check_text_encoder(encoder)
        return encoder


def write_text_encoder(path: str | os.PathLike[str], encoder: SmallTextEncoder) -> None:
    """Write a text encoder's file, all of it or nothing (see `write_tensors`).

    Raises:
        ConceptFileError: the text encoder is incomplete.
        OSError, SafetensorError: writing failed; an existing file is unchanged.
    """
    check_text_encoder(encoder)
    metadata = {
        **part_metadata(KIND),
        CONFIG_KEY: json.dumps(dict(encoder.config), sort_keys=True),
        VOCABULARY_KEY: json.dumps(encoder.tokenizer.to_json(), ensure_ascii=False),
    }
    write_tensors(path, encoder.tensors, metadata)


def _object(metadata: Mapping[str, str], key: str) -> dict[str, Any]:
    value = json_value(metadata, key)
    if not isinstance(value, dict):
        raise ConceptFileError(key, "a JSON object", repr(metadata.get(key))[:40], AGAIN)
    return value
