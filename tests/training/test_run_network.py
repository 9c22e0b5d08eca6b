"""What stands beside the trained UNet: a frozen text encoder on the right device and in float32."""

from typing import Any

import torch
from torch import Tensor, nn
from train_rigs.runs import toy_base

from training.base.model import Condition
from training.kinds.network import Network


class Text:
    """A text encoder that does not learn; knows where it was brought."""

    device = torch.device("cpu")

    def to(self, device: torch.device) -> "Text":
        self.device = device
        return self

    def encode(self, captions: list[str]) -> Condition:
        return Condition(torch.ones(len(captions), 5, 8) @ torch.ones(8, 8))


def test_a_frozen_text_encoder_comes_to_the_device() -> None:
    text = Text()
    Network(nn.Linear(1, 1), toy_base().null, text, null_text=False).frozen_text_to(torch.device("meta"))
    Network(nn.Linear(1, 1), toy_base().null).frozen_text_to(torch.device("meta"))  # none, no matter
    assert text.device.type == "meta"


def test_a_frozen_text_encoder_is_read_in_float32() -> None:
    found = {}

    class UNet(nn.Module):
        def forward(self, x: Tensor, t: Tensor, **told: Any) -> tuple[Tensor]:
            found.update(told)
            return (x,)

    network = Network(UNet(), toy_base().null, Text(), null_text=False)
    with torch.autocast("cpu", torch.bfloat16):
        network(torch.zeros(2, 1, 1, 1), torch.zeros(2), ["a", "b"], None)
    assert found["encoder_hidden_states"].dtype == torch.float32
