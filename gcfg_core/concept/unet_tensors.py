"""Name and shape of every tensor of a UNet in diffusers' names, with cross-attention or with null-text constants."""

from collections.abc import Iterator

from .null_text import FEATURE
from .unet_layout import UNetLayout

Shapes = dict[str, tuple[int, ...]]


def tensor_shapes(layout: UNetLayout, null_text: bool) -> Shapes:
    """Return the shape of every tensor of the network, by its name in diffusers.

    Args:
        layout: of the network.
        null_text: each attn2 is one `null_text_feature` [1, 1, C] and norm2 is absent; otherwise the ordinary layers.
    """
    embedding = 4 * layout.channels[0]
    shapes: Shapes = {}
    shapes |= _weight("conv_in", (layout.channels[0], layout.in_channels, 3, 3))
    shapes |= _weight("time_embedding.linear_1", (embedding, layout.channels[0]))
    shapes |= _weight("time_embedding.linear_2", (embedding, embedding))
    if layout.added_dim is not None:
        shapes |= _weight("add_embedding.linear_1", (embedding, layout.added_dim))
        shapes |= _weight("add_embedding.linear_2", (embedding, embedding))
    for path, wide_in, wide_out in _resnets(layout):
        shapes |= _resnet(path, wide_in, wide_out, embedding)
    for path, width, depth in _transformers(layout):
        shapes |= _transformer(path, width, depth, layout, null_text)
    last = len(layout.channels) - 1
    for level in range(last):
        width = layout.channels[level]
        shapes |= _weight(f"down_blocks.{level}.downsamplers.0.conv", (width, width, 3, 3))
        width = layout.channels[last - level]
        shapes |= _weight(f"up_blocks.{level}.upsamplers.0.conv", (width, width, 3, 3))
    shapes |= _norm("conv_norm_out", layout.channels[0])
    shapes |= _weight("conv_out", (layout.out_channels, layout.channels[0], 3, 3))
    return shapes


def _resnets(layout: UNetLayout) -> Iterator[tuple[str, int, int]]:
    """Yield path, input width and output width of every residual block."""
    width = layout.channels[0]
    skips = [width]
    for level, out in enumerate(layout.channels):
        for i in range(layout.layers[level]):
            yield f"down_blocks.{level}.resnets.{i}", width, out
            width = out
            skips.append(width)
        if level < len(layout.channels) - 1:
            skips.append(width)
    if layout.middle_depth is not None:
        for i in range(2 if layout.middle_depth > 0 else 1):
            yield f"mid_block.resnets.{i}", width, width
    for step, level in enumerate(reversed(range(len(layout.channels)))):
        for i in range(layout.layers[level] + 1):
            yield f"up_blocks.{step}.resnets.{i}", width + skips.pop(), layout.channels[level]
            width = layout.channels[level]


def _transformers(layout: UNetLayout) -> Iterator[tuple[str, int, int]]:
    """Yield path, width and depth of every transformer."""
    for side, depths, widths in (
        ("down", layout.down_depths, layout.channels),
        ("up", layout.up_depths, layout.channels[::-1]),
    ):
        for level, row in enumerate(depths):
            for i, depth in enumerate(row):
                if depth:
                    yield f"{side}_blocks.{level}.attentions.{i}", widths[level], depth
    if (layout.middle_depth or 0) > 0:
        yield "mid_block.attentions.0", layout.channels[-1], layout.middle_depth or 0


def _resnet(path: str, wide_in: int, wide_out: int, embedding: int) -> Shapes:
    shapes = _norm(f"{path}.norm1", wide_in) | _weight(f"{path}.conv1", (wide_out, wide_in, 3, 3))
    shapes |= _weight(f"{path}.time_emb_proj", (wide_out, embedding))
    shapes |= _norm(f"{path}.norm2", wide_out) | _weight(f"{path}.conv2", (wide_out, wide_out, 3, 3))
    if wide_in != wide_out:
        shapes |= _weight(f"{path}.conv_shortcut", (wide_out, wide_in, 1, 1))
    return shapes


def _transformer(path: str, width: int, depth: int, layout: UNetLayout, null_text: bool) -> Shapes:
    projection = (width, width) if layout.linear_projection else (width, width, 1, 1)
    shapes = _norm(f"{path}.norm", width)
    shapes |= _weight(f"{path}.proj_in", projection) | _weight(f"{path}.proj_out", projection)
    for i in range(depth):
        block = f"{path}.transformer_blocks.{i}"
        shapes |= _norm(f"{block}.norm1", width) | _norm(f"{block}.norm3", width)
        shapes |= _attention(f"{block}.attn1", width, width)
        shapes |= _weight(f"{block}.ff.net.0.proj", (8 * width, width)) | _weight(
            f"{block}.ff.net.2", (width, 4 * width)
        )
        if null_text:
            shapes[f"{block}.attn2.{FEATURE}"] = (1, 1, width)
        else:
            shapes |= _norm(f"{block}.norm2", width) | _attention(f"{block}.attn2", width, layout.context_dim)
    return shapes


def _attention(path: str, width: int, context: int) -> Shapes:
    inputs = {"to_q": width, "to_k": context, "to_v": context}
    return {f"{path}.{name}.weight": (width, n) for name, n in inputs.items()} | _weight(
        f"{path}.to_out.0", (width, width)
    )


def _weight(path: str, shape: tuple[int, ...]) -> Shapes:
    return {f"{path}.weight": shape, f"{path}.bias": shape[:1]}


def _norm(path: str, width: int) -> Shapes:
    return {f"{path}.weight": (width,), f"{path}.bias": (width,)}
