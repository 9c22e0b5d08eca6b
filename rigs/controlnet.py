"""ControlNets for the tiny SD1.5 and the micro model, through ComfyUI's own loader."""

from pathlib import Path

import comfy.cldm.cldm
import comfy.controlnet
import comfy.ops
import torch
from torch import Tensor

from rigs.micro import UNET as MICRO_UNET
from rigs.tiny import KINDS, built
from rigs.weights import random_state


def tiny_controlnet(seed: int = 0) -> comfy.controlnet.ControlNet:
    """A ControlNet for the tiny sd15 model; images go in at 8 times the latent's size."""
    return comfy.controlnet.load_controlnet(str(controlnet_file(seed)))


def controlnet_file(seed: int = 0) -> Path:
    """A file for Load ControlNet Model, fitting the tiny sd15 model."""
    return built(f"controlnet-sd15-{seed}", lambda: _state(dict(KINDS["sd15"].config), seed))


def micro_controlnet(seed: int = 0) -> comfy.controlnet.ControlNet:
    """A ControlNet for `rigs.micro.micro_model`; images go in at 8 times the latent's size."""
    config = {key: value for key, value in MICRO_UNET.items() if key != "out_channels"}
    network = _network({**config, "num_heads": 8, "dtype": torch.float32}, torch.device("cpu"))
    network.load_state_dict(_fill(network, seed))
    return comfy.controlnet.ControlNet(network, load_device=torch.device("cpu"))


def _state(config: dict, seed: int) -> dict[str, Tensor]:
    config.pop("out_channels")
    return _fill(_network(config, torch.device("meta")), seed)


def _network(config: dict, device: torch.device) -> comfy.cldm.cldm.ControlNet:
    config = {key: value for key, value in config.items() if key != "transformer_depth_output"}
    return comfy.cldm.cldm.ControlNet(
        **config, hint_channels=3, operations=comfy.ops.disable_weight_init, device=device
    )


def _fill(network: torch.nn.Module, seed: int) -> dict[str, Tensor]:
    return random_state(network.state_dict(), 6000 + seed)
