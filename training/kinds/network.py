"""What is trained, as one module: the UNet, and the text encoder where that learns too."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..base.model import Condition


class Network(nn.Module):
    """A UNet with its condition: forward takes what a batch holds and gives the prediction.

    One module, because wrappers (DDP, FSDP) synchronise one: `unet` is trained and, with `train_text`, `text`.

    Args:
        unet: diffusers' UNet2DConditionModel, null-text or not.
        null: the empty prompt's condition; a null-text SDXL model always gets its pooled vector and size ids.
        text: the text encoder of a model that reads captions; None: it is always told the empty prompt.
        train_text: `text` is a module and learns.
        null_text: the UNet has no cross-attention.
    """

    def __init__(
        self, unet: nn.Module, null: Condition, text: Any = None, train_text: bool = False, null_text: bool = True
    ) -> None:
        super().__init__()
        self.unet: Any = unet
        self.hidden: Tensor | None
        self.pooled: Tensor | None
        self.time_ids: Tensor | None
        self.register_buffer("hidden", None if null_text else null.hidden_states, persistent=False)
        self.register_buffer("pooled", null.pooled, persistent=False)
        self.register_buffer("time_ids", null.time_ids, persistent=False)
        self.reads_text = text is not None
        if train_text:
            self.text = text
        self._frozen_text = None if train_text else (text,)  # a tuple hides it from the wrappers

    def frozen_text_to(self, device: torch.device) -> None:
        """Bring a text encoder that does not learn, and that `to` cannot see, to the device."""
        if self._frozen_text is not None and self._frozen_text[0] is not None:
            self._frozen_text[0].to(device)

    def forward(self, x: Tensor, t: Tensor, captions: Sequence[str], time_ids: Tensor | None) -> Tensor:
        """The UNet's output.

        Args:
            x: noisy latents [B, C, h, w].
            t: timesteps [B].
            captions: B of them; a null-text model reads none.
            time_ids: SDXL: the size ids of each picture [B, 6]; a null-text model takes its own.
        """
        arguments = self._condition(captions, time_ids, x).arguments() if self.reads_text else self._constants(len(x))
        return self.unet(x, t, **arguments, return_dict=False)[0]

    def _constants(self, batch: int) -> dict[str, Any]:
        """The empty prompt for a batch; a null-text UNet gets what is left of it, SDXL's constants."""
        hidden = None if self.hidden is None else self.hidden.expand(batch, -1, -1)
        if self.pooled is None or self.time_ids is None:
            return {"encoder_hidden_states": hidden}
        added = {"text_embeds": self.pooled.expand(batch, -1), "time_ids": self.time_ids.expand(batch, -1)}
        return {"encoder_hidden_states": hidden, "added_cond_kwargs": added}

    def _condition(self, captions: Sequence[str], time_ids: Tensor | None, x: Tensor) -> Condition:
        if self._frozen_text is None:
            encoded = self.text.encode(captions)
        else:
            with torch.no_grad(), torch.autocast(x.device.type, enabled=False):  # in float32, as it was measured
                encoded = self._frozen_text[0].encode(captions)
        sizes = None
        if encoded.pooled is not None and self.time_ids is not None:
            sizes = self.time_ids.expand(len(x), -1) if time_ids is None else time_ids
        return Condition(encoded.hidden_states, encoded.pooled, sizes).to(x.device)
