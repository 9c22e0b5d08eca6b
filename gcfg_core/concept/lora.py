"""LoRA concept: low-rank factors and constants that turn a base model's UNet into a null-text UNet.

Every layer of the base except attn2 and norm2 can be adapted:

    W = W_base + (alpha / rank) * B @ A                (LoRA, arXiv 2106.09685)
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ..errors import ConceptFileError, some
from .concept import Concept, constant_shapes
from .families import shapes_of
from .kinds import NULL_TEXT_LORA, NULL_TEXT_UNET
from .null_text import FEATURE
from .tensor_check import AGAIN, check_tensors, missing_or_misshapen
from .unet_tensors import Shapes

DOWN, UP = ".lora_A.weight", ".lora_B.weight"


@dataclass(frozen=True, eq=False)
class LoraConcept:
    """A LoRA concept in memory.

    Attributes:
        factors: A [rank, in] or [rank, in, kh, kw] and B [out, rank] or [out, rank, 1, 1] of each adapted layer, in
            PEFT's names.
        features: every `null_text_feature`, [1, 1, C], in diffusers' names.
        config: diffusers' UNet2DConditionModel configuration of the base.
        rank, alpha: the same for every layer; B @ A is multiplied by alpha / rank.
        base: name and hash of the base model.

    The other attributes are those of `Concept`.
    """

    factors: Mapping[str, Tensor]
    features: Mapping[str, Tensor]
    config: Mapping[str, Any]
    rank: int
    alpha: float
    base: str
    prediction_type: str = "epsilon"
    zero_terminal_snr: bool = False
    latent_format: str = ""
    training: Mapping[str, Any] = field(default_factory=dict)
    title: str = ""
    text_embeds: Tensor | None = None
    time_ids: Tensor | None = None
    vae: str = ""

    @property
    def kind(self) -> str:
        return NULL_TEXT_LORA.name

    @property
    def scale(self) -> float:
        return self.alpha / self.rank

    @property
    def layers(self) -> list[str]:
        """Paths of the adapted layers."""
        return sorted(key.removesuffix(DOWN) for key in self.factors if key.endswith(DOWN))

    def with_tensors(self, tensors: Mapping[str, Tensor], kind: str = NULL_TEXT_UNET.name) -> Concept:
        """Return a `Concept` of these tensors with this LoRA's other attributes."""
        return Concept(
            tensors, self.config, kind, self.prediction_type, self.zero_terminal_snr, self.latent_format, self.base,
            self.training, self.title, self.text_embeds, self.time_ids, self.vae,
        )  # fmt: skip


def check_lora_concept(lora: LoraConcept, name: str, remedy: str = AGAIN) -> None:
    """Raise ConceptFileError unless the tensors are exactly a LoRA of this rank on the null-text network, with all of
    the network's constants. The message ends with ``remedy``."""
    network = shapes_of(lora.config, null_text=True)
    expected = {key: shape for key, shape in network.items() if key.endswith(f".{FEATURE}")}
    if not lora.factors:
        raise ConceptFileError(name, f"at least one {DOWN.lstrip('.')}", "none", remedy)
    foreign = [key for key in lora.factors if f"{_layer(key)}.weight" not in network or not _layer(key)]
    if foreign:
        what = f"factors of the null-text network's layers ({DOWN.lstrip('.')}, {UP.lstrip('.')})"
        raise ConceptFileError(name, what, some(sorted(foreign)), remedy)
    for layer in {_layer(key) for key in lora.factors}:
        expected |= _factor_shapes(name, layer, network[f"{layer}.weight"], lora.rank, remedy)
    expected |= constant_shapes(lora.config)
    tensors = {**lora.factors, **lora.features, **lora.with_tensors({}).constants}
    check_tensors(name, lora.kind, tensors, expected, remedy)
    broken = sorted(key for key, value in tensors.items() if not torch.isfinite(value).all())
    if broken:
        raise ConceptFileError(name, f"{some(broken)} of finite numbers", "inf or nan", remedy)


def merge_lora(lora: LoraConcept, base: Mapping[str, Tensor]) -> Concept:
    """Return the full null-text UNet: the base's weights plus the factors, without attn2 and norm2.

    Args:
        lora: checked, as `read_lora_concept` returns it.
        base: the base UNet's tensors in diffusers' names; they are not changed, and the result has their dtype.

    Raises:
        ConceptFileError: the base has another network than the LoRA's.
    """
    shapes = shapes_of(lora.config, null_text=True)
    kept = {key: shape for key, shape in shapes.items() if not key.endswith(f".{FEATURE}")}
    odd = missing_or_misshapen(base, kept)
    if odd:
        raise ConceptFileError("base model", f"the network of {lora.base or 'the LoRA concept'}",
                               f"a difference at {some(odd)}", "Give the base model it was trained from.")  # fmt: skip
    tensors: dict[str, Tensor] = {key: base[key] for key in kept} | dict(lora.features)
    for layer in lora.layers:
        key = f"{layer}.weight"
        delta = lora_delta(lora.factors[layer + DOWN], lora.factors[layer + UP], lora.scale)
        tensors[key] = (tensors[key].float() + delta.to(tensors[key].device)).to(tensors[key].dtype)
    return lora.with_tensors(tensors)


def lora_delta(down: Tensor, up: Tensor, scale: float) -> Tensor:
    """Return scale * B @ A in float32: [out, in] for a linear layer, [out, in, kh, kw] for a convolution."""
    product = up.float().flatten(1) @ down.float().flatten(1)  # [out, in * kh * kw]
    return (scale * product).reshape(up.shape[0], *down.shape[1:])


def _layer(key: str) -> str:
    """Return the path of the layer that a factor belongs to, or "" if the key is not a factor's."""
    return next((key.removesuffix(suffix) for suffix in (DOWN, UP) if key.endswith(suffix)), "")


def _factor_shapes(name: str, layer: str, shape: tuple[int, ...], rank: int, remedy: str) -> Shapes:
    """Return the shapes of A and B for a layer whose weight is [out, in] or [out, in, kh, kw]."""
    if len(shape) not in (2, 4):
        raise ConceptFileError(name, "factors of linear layers and convolutions", f"{layer}{DOWN}", remedy)
    return {f"{layer}{DOWN}": (rank, *shape[1:]), f"{layer}{UP}": (shape[0], rank, *[1] * (len(shape) - 2))}
