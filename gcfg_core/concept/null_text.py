"""The null-text layer (arXiv 2312.08195, section 3.3), which makes a UNet independent of text.

In every transformer block the cross-attention `attn2` becomes one constant vector that is added to every token, and
its `norm2` disappears. The constant is the mean output of the attention under the null text.

The code is duck typed: a transformer block is any module with `attn2` and `norm2`, as in diffusers' and in ComfyUI's
UNets.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import ConceptFileError

FEATURE = "null_text_feature"
TEXT_PROJECTIONS = ("to_q", "to_k", "to_v", "to_out")


class NullTextPatchError(RuntimeError, AttributeError):
    """Something asked a null-text layer for attention projections, which it does not have.

    Also an AttributeError, so that `hasattr(layer, "to_q")` returns False instead of raising.
    """

    @classmethod
    def of(cls, name: str) -> "NullTextPatchError":
        """Return the error for the projection of this name, with a remedy."""
        return cls(
            f"a patch asked for attn2.{name}, but this is a null-text concept model: it has no cross-attention, "
            "so patches that replace it (IPAdapter, attn2 replace) cannot act on it. Put the patch on the base "
            "model or on another term's model, and leave the concept model without it."
        )


class NullTextAttention(nn.Module):
    """A layer in the place of a cross-attention that returns one constant for every input.

    Args:
        channels: width C of the transformer block.
        value: the constant, [1, 1, C] or [C]; zeros by default.
        device, dtype: of the parameter.
    """

    def __init__(
        self,
        channels: int,
        value: Tensor | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        feature = torch.zeros(1, 1, channels, device=device, dtype=dtype)
        self.null_text_feature = nn.Parameter(feature)
        if value is not None:
            with torch.no_grad():
                self.null_text_feature.copy_(value.reshape(1, 1, channels))

    def forward(self, hidden_states: Tensor, *args: object, **kwargs: object) -> Tensor:
        """Return the constant as a view of shape [B, N, C], for hidden_states [B, N, C]; other arguments are
        ignored."""
        feature = self.null_text_feature.to(device=hidden_states.device, dtype=hidden_states.dtype)
        return feature.expand(hidden_states.shape[0], hidden_states.shape[1], -1)

    def __getattr__(self, name: str) -> object:
        if name in TEXT_PROJECTIONS:
            raise NullTextPatchError.of(name)
        return super().__getattr__(name)

    def extra_repr(self) -> str:
        return f"channels={self.null_text_feature.shape[-1]}"


def text_attentions(unet: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield the path of every transformer block's `attn2` ("...transformer_blocks.0.attn2") and the block itself."""
    for name, module in unet.named_modules():
        attention = getattr(module, "attn2", None)
        if isinstance(attention, nn.Module) and isinstance(getattr(module, "norm2", None), nn.Module):
            yield (f"{name}.attn2" if name else "attn2"), module


def remove_text_attention(
    unet: nn.Module,
    constants: Mapping[str, Tensor] | None = None,
    layer: Callable[..., NullTextAttention] = NullTextAttention,
) -> nn.Module:
    """Turn a UNet into a null-text UNet, in place: every `attn2` becomes a constant, every `norm2` an identity.

    Args:
        unet: a network whose transformer blocks have `attn2` and `norm2`; blocks already converted are skipped.
        constants: the constant of each layer, [1, 1, C], under the path of its `attn2`, as in
            `AttentionMeans.constants`; zeros by default.
        layer: builds the replacement from `channels`, `value`, `device`, `dtype`.

    Returns:
        The same network. New parameters have the device and dtype of the projections they replace.

    Raises:
        ConceptFileError: there is nothing to replace, or the names in `constants` are not exactly the layers' paths.
    """
    attentions = list(text_attentions(unet))
    todo = {path: block for path, block in attentions if not isinstance(block.attn2, NullTextAttention)}
    if not attentions:
        raise ConceptFileError.saying(
            type(unet).__name__, "No transformer block has attn2 and norm2. Give a text-conditioned UNet."
        )
    if constants is not None and set(constants) != set(todo):
        odd = sorted(set(constants) ^ set(todo))
        raise ConceptFileError.saying(
            "constants", f"They do not match the network's attn2 layers at {odd[0]}. Measure them on this network."
        )
    for path, block in todo.items():
        query: Any = block.attn2.to_q  # type: ignore[union-attr]
        place = {} if query.weight is None else {"device": query.weight.device, "dtype": query.weight.dtype}
        value = None if constants is None else constants[path]
        block.attn2 = layer(channels=query.in_features, value=value, **place)
        block.norm2 = nn.Identity()
    return unet


class LayerMean:
    """Running mean and mean square of one layer's output, in float64 on the CPU because MPS has no float64."""

    def __init__(self) -> None:
        self.total: Tensor | None = None
        self.squares = 0.0
        self.tokens = 0

    def add(self, output: Tensor) -> None:
        """Add an output [B, N, C]; every token has the same weight."""
        tokens = output.detach().cpu().double().flatten(0, -2)  # [B * N, C]
        total = tokens.sum(0)
        self.total = total if self.total is None else self.total + total
        self.squares += float(tokens.square().sum())
        self.tokens += tokens.shape[0]

    def constant(self) -> Tensor:
        """Return the mean over batches and tokens, [1, 1, C] float32: the least-squares constant."""
        if self.total is None:
            raise ConceptFileError.saying(
                "attention outputs", "None were recorded. Run the network once while the means are recorded."
            )
        return (self.total / self.tokens).float().reshape(1, 1, -1)

    def deviation(self) -> float:
        """Return the relative error of the constant, sqrt(mean ||y - mean||^2 / mean ||y||^2): 0 if the layer is
        constant, 1 if its mean is zero."""
        mean_square = self.squares / max(self.tokens, 1)
        if mean_square == 0.0:
            return 0.0
        constant_square = float(self.constant().double().square().sum())
        return (max(mean_square - constant_square, 0.0) / mean_square) ** 0.5


class AttentionMeans:
    """The running mean of each cross-attention during `record_text_attention`."""

    def __init__(self, paths: Iterable[str]) -> None:
        self.layers = {path: LayerMean() for path in paths}

    def constants(self) -> dict[str, Tensor]:
        """Return the constant of each layer, [1, 1, C] float32, under the path of its `attn2`."""
        return {path: layer.constant() for path, layer in self.layers.items()}

    def deviations(self) -> dict[str, float]:
        """Return each layer's relative deviation from its constant, as in `LayerMean.deviation`."""
        return {path: layer.deviation() for path, layer in self.layers.items()}


@contextmanager
def record_text_attention(unet: nn.Module) -> Iterator[AttentionMeans]:
    """Record the mean output of every cross-attention while the block runs.

    For accurate constants, run the UNet with the null text on real images at many noise levels.
    """
    blocks = [(path, b) for path, b in text_attentions(unet) if not isinstance(b.attn2, NullTextAttention)]
    means = AttentionMeans(path for path, _ in blocks)

    def recorder(path: str) -> Callable[..., None]:
        return lambda module, args, output: means.layers[path].add(output)

    hooks = [block.attn2.register_forward_hook(recorder(path)) for path, block in blocks]  # type: ignore[union-attr]
    try:
        yield means
    finally:
        for hook in hooks:
            hook.remove()
