"""What is trained, as one module: the UNet, and the text encoder where that learns too."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..base.model import Base, Condition
from ..errors import InputError


class Network(nn.Module):
    """A UNet with its condition: forward takes what a batch holds and gives the prediction.

    One module, because wrappers (DDP, FSDP) synchronise one: the trained parts are `unet` and, with `train_text`, `text`.

    Args:
        unet: diffusers' UNet2DConditionModel, null-text or not.
        null: the empty prompt's condition; a null-text SDXL model always gets its pooled vector and size ids.
        text: the text encoder of a model that reads captions; None for a null-text one.
        train_text: `text` is a module and learns.
    """

    def __init__(self, unet: nn.Module, null: Condition, text: Any = None, train_text: bool = False) -> None:
        super().__init__()
        self.unet = unet
        self.register_buffer("pooled", null.pooled, persistent=False)
        self.register_buffer("time_ids", null.time_ids, persistent=False)
        self.reads_text = text is not None
        if train_text:
            self.text = text
        self._frozen_text = None if train_text else (text,)  # a tuple hides it from the wrappers

    def forward(self, x: Tensor, t: Tensor, captions: Sequence[str], time_ids: Tensor | None) -> Tensor:
        """The UNet's output.

        Args:
            x: noisy latents [B, C, h, w].
            t: timesteps [B].
            captions: B of them; a null-text model reads none.
            time_ids: SDXL: the size ids of each picture [B, 6]; a null-text model takes its own.
        """
        if self.reads_text:
            arguments = self._condition(captions, time_ids, x).arguments()
        else:
            arguments = {"encoder_hidden_states": None, **self._constants(len(x))}
        return self.unet(x, t, **arguments, return_dict=False)[0]

    def _constants(self, batch: int) -> dict[str, Any]:
        if self.pooled is None:
            return {}
        added = {"text_embeds": self.pooled.expand(batch, -1), "time_ids": self.time_ids.expand(batch, -1)}
        return {"added_cond_kwargs": added}

    def _condition(self, captions: Sequence[str], time_ids: Tensor | None, x: Tensor) -> Condition:
        if self._frozen_text is None:
            told = self.text.encode(captions)
        else:
            with torch.no_grad():
                told = self._frozen_text[0].encode(captions)
        sizes = None
        if told.pooled is not None:
            sizes = self.time_ids.expand(len(x), -1) if time_ids is None else time_ids
        return Condition(told.hidden_states, told.pooled, sizes).to(x.device)


def text_network(base: Base, train_text: bool) -> Network:
    """A network that reads captions; everything in the UNet learns.

    Raises:
        InputError: the base has no text encoder, or one that cannot be trained.
    """
    if base.text is None:
        raise InputError("kind text", "a base with tokenizer and text encoder", "a UNet alone",
                         "Give --tokenizer, or a diffusers folder, or train --kind null-text.")  # fmt: skip
    if train_text and not isinstance(base.text, nn.Module):
        raise InputError("train_text", "a text encoder that can be trained", type(base.text).__name__,
                         "Only worlds of your own have one; leave it out.")  # fmt: skip
    network = Network(base.unet, base.null, base.text, train_text)
    network.requires_grad_(True)
    return network
