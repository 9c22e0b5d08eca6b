"""The network to train, as one module: the UNet, and the text encoder if it is trained too."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..base.model import Condition


class Network(nn.Module):
    """A UNet with its condition: forward maps a batch to the prediction.

    One module, because wrappers (DDP, FSDP) synchronise one. `unet` is trained, and `text` with `train_text`.

    Args:
        unet: diffusers' UNet2DConditionModel, null-text or not.
        null: condition of the empty prompt; a null-text SDXL model always gets its pooled vector and size ids.
        text: text encoder for captions; None: the condition is always that of the empty prompt.
        train_text: `text` is a module and is trained.
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
        self._frozen_text = None if train_text else (text,)  # a tuple hides the encoder from the wrappers

    def frozen_text_to(self, device: torch.device) -> None:
        """Move a text encoder that is not trained to the device; `to` does not reach it."""
        if self._frozen_text is not None and self._frozen_text[0] is not None:
            self._frozen_text[0].to(device)

    def forward(self, x: Tensor, t: Tensor, captions: Sequence[str], time_ids: Tensor | None) -> Tensor:
        """Return the UNet's output.

        Args:
            x: noisy latents [B, C, h, w].
            t: timesteps [B].
            captions: B captions; a null-text model ignores them.
            time_ids: SDXL: size ids of each picture [B, 6]; a null-text model uses its own.
        """
        arguments = self._condition(captions, time_ids, x).arguments() if self.reads_text else self._constants(len(x))
        return self.unet(x, t, **arguments, return_dict=False)[0]

    def _constants(self, batch: int) -> dict[str, Any]:
        """Return the empty prompt's arguments for a batch; for a null-text UNet only SDXL's constants remain."""
        hidden = None if self.hidden is None else self.hidden.expand(batch, -1, -1)
        if self.pooled is None or self.time_ids is None:
            return {"encoder_hidden_states": hidden}
        added = {"text_embeds": self.pooled.expand(batch, -1), "time_ids": self.time_ids.expand(batch, -1)}
        return {"encoder_hidden_states": hidden, "added_cond_kwargs": added}

    def _condition(self, captions: Sequence[str], time_ids: Tensor | None, x: Tensor) -> Condition:
        if self._frozen_text is None:
            encoded = self.text.encode(captions)
        else:
            with (
                torch.no_grad(),
                torch.autocast(x.device.type, enabled=False),
            ):  # float32, as in calibration
                encoded = self._frozen_text[0].encode(captions)
        sizes = None
        if encoded.pooled is not None and self.time_ids is not None:
            sizes = self.time_ids.expand(len(x), -1) if time_ids is None else time_ids
        return Condition(encoded.hidden_states, encoded.pooled, sizes).to(x.device)
