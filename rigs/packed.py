"""A micro model with quantized weights and the kind of patcher that comes with them: patches hang on the tensor."""

from typing import Any

import comfy.lora
import comfy.model_patcher
import comfy.utils
import torch
from torch import Tensor, nn

from rigs.micro import UNET, micro_model


class PackedWeight(torch.Tensor):
    """int8 numbers with one scale; ``patches`` are added whenever it is unpacked. A copy is the same tensor."""

    scale: float
    patches: list

    @staticmethod
    def pack(weight: Tensor) -> "PackedWeight":
        scale = float(weight.abs().max()) / 127.0
        packed = (weight / scale).round().to(torch.int8).as_subclass(PackedWeight)
        packed.scale, packed.patches = scale, []
        return packed

    def to(self, *args: Any, **kwargs: Any) -> "PackedWeight":
        moved = super().to(*args, **kwargs)
        moved.scale, moved.patches = self.scale, list(self.patches)
        return moved

    def detach(self) -> "PackedWeight":
        return self

    def clone(self, *args: Any, **kwargs: Any) -> "PackedWeight":
        return self

    def unpacked(self) -> Tensor:
        weight = self.as_subclass(Tensor).float() * self.scale
        for patches, key in self.patches:
            weight = comfy.lora.calculate_weight(patches, weight, key)
        return weight


class PackedLinear(nn.Module):
    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.weight = nn.Parameter(PackedWeight.pack(linear.weight.data), requires_grad=False)
        self.bias = linear.bias

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight
        assert isinstance(weight, PackedWeight)
        return nn.functional.linear(x, weight.unpacked(), self.bias)


class PackedPatcher(comfy.model_patcher.ModelPatcher):
    """A patcher that attaches patches to quantized weights instead of patching them. Everything is patched at
    loading."""

    def patch_weight_to_device(self, key: str, device_to: Any = None, inplace_update: bool = False, **_: Any) -> Any:
        weight = comfy.utils.get_attr(self.model, key)
        if key not in self.patches:
            return None
        if not isinstance(weight, PackedWeight):
            return super().patch_weight_to_device(key, device_to, inplace_update)
        moved = weight.to(device_to)
        moved.patches = [(self.patches[key], key)]
        comfy.utils.set_attr_param(self.model, key, moved)
        return None

    def unpatch_model(self, device_to: Any = None, unpatch_weights: bool = True) -> Any:
        if unpatch_weights:
            for parameter in self.model.parameters():
                if getattr(parameter, "patches", None):
                    parameter.patches = []
        return super().unpatch_model(device_to=device_to, unpatch_weights=unpatch_weights)

    def load(self, *args: Any, force_patch_weights: bool = False, **kwargs: Any) -> Any:
        return super().load(*args, force_patch_weights=True, **kwargs)


def packed_model(seed: int = 0, unet: dict = UNET) -> PackedPatcher:
    """The micro model with every attention matrix quantized; a fresh model each call."""
    plain = micro_model(seed, unet=unet)
    for name, module in list(plain.model.diffusion_model.named_modules()):
        if ".attn" in name and isinstance(module, nn.Linear):
            path, _, last = name.rpartition(".")
            setattr(plain.model.diffusion_model.get_submodule(path), last, PackedLinear(module))
    return PackedPatcher(plain.model, plain.load_device, plain.offload_device)
