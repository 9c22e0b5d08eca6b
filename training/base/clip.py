"""The CLIP text encoders of SD1.5, SD2 and SDXL: from captions, or from no text, to a condition.

    SD1.5  CLIP-L       last layer, final norm                       padded with the end token
    SD2    OpenCLIP-H   last but one layer, final norm               padded with 0
    SDXL   CLIP-L       last but one layer, no norm    } side by     padded with the end token
           OpenCLIP-bigG  the same                     } side        padded with 0, its projection is the pooled vector

SD2's last layer is dropped on reading (`configs.sd2_layers`), as in diffusers' folders. The empty prompt is a begin
token, an end token and padding, so it needs no tokenizer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from .model import Condition
from .weights import fill

CLIP_VOCABULARY = 49408  # its last two tokens are begin and end; textual inversions follow them
WRAPPER = "text_model."
CLASSES = {"CLIPTextModel": CLIPTextModel, "CLIPTextModelWithProjection": CLIPTextModelWithProjection}


@dataclass(eq=False)
class ClipEncoder:
    """A text encoder with its tokenizer.

    Attributes:
        model: transformers' CLIPTextModel or CLIPTextModelWithProjection, float32.
        pad: id of the padding token; None for the end token.
        tokenizer: transformers' CLIPTokenizer; None without tokenizer files.
    """

    model: Any
    pad: int | None
    tokenizer: Any = None

    @property
    def length(self) -> int:
        """Tokens per prompt, padding included: 77."""
        return int(self.model.config.max_position_embeddings)

    def ids(self, captions: Sequence[str]) -> Tensor:
        """Return token ids [B, 77]; without a tokenizer only empty captions are allowed."""
        if self.tokenizer is not None:
            rows = self.tokenizer(list(captions), truncation=True, max_length=self.length).input_ids
            end = int(self.tokenizer.eos_token_id)
        else:
            if any(captions):
                raise ValueError("captions: expected empty captions, since there is no tokenizer")
            end = min(int(self.model.config.vocab_size), CLIP_VOCABULARY) - 1
            rows = [[end - 1, end] for _ in captions]
        pad = end if self.pad is None else self.pad
        return torch.tensor([row + [pad] * (self.length - len(row)) for row in rows])


class ClipText:
    """A base's text encoders as a `TextEncoder`; never trained.

    Args:
        encoders: CLIP-L or OpenCLIP-H alone; SDXL's two in order.
        pooled: True for SDXL: concatenate hidden layers without norms, and return the last encoder's projection.
    """

    def __init__(self, encoders: Sequence[ClipEncoder], pooled: bool) -> None:
        self.encoders = tuple(encoders)
        self.pooled = pooled

    @property
    def has_tokenizers(self) -> bool:
        return all(encoder.tokenizer is not None for encoder in self.encoders)

    @torch.no_grad()
    def encode(self, captions: Sequence[str]) -> Condition:
        """Return hidden_states [B, 77, C], and SDXL's pooled [B, D]; captions are cut to 77 tokens."""
        states, pooled = [], None
        for encoder in self.encoders:
            ids = encoder.ids(captions).to(encoder.model.device)
            output = encoder.model(input_ids=ids, output_hidden_states=self.pooled)
            if not self.pooled:
                states.append(output.last_hidden_state)
                continue
            states.append(output.hidden_states[-2])
            pooled = getattr(output, "text_embeds", pooled)
        return Condition(torch.cat(states, dim=-1), pooled)

    def to(self, device: torch.device | str) -> "ClipText":
        for encoder in self.encoders:
            encoder.model.to(device)
        return self


def build_clip(config: Mapping[str, Any], tensors: Mapping[str, Tensor], projection: bool, name: str) -> Any:
    """Return a CLIP text encoder in float32 on the CPU.

    Args:
        config: CLIPTextConfig's keys.
        tensors: in transformers' names, with or without the prefix "text_model.".
        projection: build CLIPTextModelWithProjection, whose ``text_projection`` gives the pooled vector.
        name: of the file or folder, for messages.

    Raises:
        InputError: the tensors do not fit the configuration.
    """
    known = CLIPTextConfig(
        **{key: value for key, value in config.items() if not key.startswith(("_", "architectures"))}
    )
    known.dtype = torch.float32
    with torch.device("meta"):
        model: Any = CLASSES["CLIPTextModelWithProjection" if projection else "CLIPTextModel"](known)
    wrapped = hasattr(model, "text_model")  # since transformers 5 CLIPTextModel has no wrapper
    fill(model, {(WRAPPER if wrapped and key != "text_projection.weight" else "") + key: value
                 for key, value in unwrapped(tensors, projection).items()}, name)  # fmt: skip
    embeddings = (model.text_model if wrapped else model).embeddings
    embeddings.position_ids = torch.arange(known.max_position_embeddings).expand(1, -1)  # a buffer: not in `fill`
    return model.requires_grad_(False)


def unwrapped(tensors: Mapping[str, Tensor], projection: bool) -> dict[str, Tensor]:
    """Return the tensors without the prefix "text_model." and without tensors that are not weights of this encoder."""
    plain = {key.removeprefix(WRAPPER): value for key, value in tensors.items()}
    dropped = {"embeddings.position_ids", "logit_scale"} | (set() if projection else {"text_projection.weight"})
    return {key: value for key, value in plain.items() if key not in dropped}
