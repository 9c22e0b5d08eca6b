"""The layers of a UNet, read from diffusers' UNet2DConditionModel configuration.

Only the family of SD1.5, SD2 and SDXL is supported, at any size. The error for any other configuration names the key
that asks for more: a file is either built exactly or refused.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import ConceptFileError

# Keys with a fixed value in this family (diffusers' default), so that a missing key means the same.
FIXED: dict[str, Any] = {
    "act_fn": "silu",
    "attention_type": "default",
    "center_input_sample": False,
    "class_embed_type": None,
    "conv_in_kernel": 3,
    "conv_out_kernel": 3,
    "cross_attention_norm": None,
    "downsample_padding": 1,
    "dropout": 0.0,
    "dual_cross_attention": False,
    "encoder_hid_dim": None,
    "encoder_hid_dim_type": None,
    "flip_sin_to_cos": True,
    "freq_shift": 0,
    "mid_block_only_cross_attention": None,
    "mid_block_scale_factor": 1,
    "norm_eps": 1e-5,
    "norm_num_groups": 32,
    "num_class_embeds": None,
    "only_cross_attention": False,
    "resnet_out_scale_factor": 1.0,
    "resnet_skip_time_act": False,
    "resnet_time_scale_shift": "default",
    "time_cond_proj_dim": None,
    "time_embedding_act_fn": None,
    "time_embedding_dim": None,
    "time_embedding_type": "positional",
    "timestep_post_act": None,
}
READ = {  # decide the tensors
    "in_channels", "out_channels", "block_out_channels", "layers_per_block", "down_block_types", "up_block_types",
    "mid_block_type", "transformer_layers_per_block", "reverse_transformer_layers_per_block", "cross_attention_dim",
    "attention_head_dim", "num_attention_heads", "use_linear_projection", "addition_embed_type",
    "addition_time_embed_dim", "projection_class_embeddings_input_dim",
}  # fmt: skip
IGNORED = {  # decide no tensor: a default size, a precision, and settings of embeddings that this family does not have
    "sample_size", "upcast_attention", "addition_embed_type_num_heads", "class_embeddings_concat",
}  # fmt: skip
TIME_IDS = 6  # SDXL: original height and width, crop top and left, target height and width
EDIT = "Correct the UNet configuration (gcfg.unet_config in the file's metadata, or --config when converting)."


@dataclass(frozen=True)
class UNetLayout:
    """Everything that decides the tensors of a UNet. Levels are ordered from the widest image to the narrowest.

    Attributes:
        channels: width of each level; the first is the model's base width.
        layers: residual blocks of each level (an up level has one more).
        down_depths, up_depths: transformer blocks beside each residual block of each level, 0 for none; up levels in
            the order they run, from the narrowest image.
        middle_depth: transformer blocks in the middle; -1: a residual block alone; None: no middle.
        heads: attention heads of each level.
        linear_projection: proj_in and proj_out are linear (SD2, SDXL) instead of 1x1 convolutions (SD1.5).
        context_dim: width of the text features.
        added_dim: width of SDXL's added embedding (pooled text and size ids), or None.
        time_id_dim: embedding width of each of the six size ids.
    """

    in_channels: int
    out_channels: int
    channels: tuple[int, ...]
    layers: tuple[int, ...]
    down_depths: tuple[tuple[int, ...], ...]
    up_depths: tuple[tuple[int, ...], ...]
    middle_depth: int | None
    heads: tuple[int, ...]
    linear_projection: bool
    context_dim: int
    added_dim: int | None
    time_id_dim: int

    @property
    def pooled_dim(self) -> int | None:
        """Width of the pooled text vector; None if the network has no input for it."""
        return None if self.added_dim is None else self.added_dim - TIME_IDS * self.time_id_dim


def unet_layout(config: Mapping[str, Any]) -> UNetLayout:
    """Read a diffusers UNet2DConditionModel configuration.

    Raises:
        ConceptFileError: a key is missing, contradicts another, or asks for something outside this family.
    """
    _refuse_unknown(config)
    channels = tuple(_integers(config, "block_out_channels", None))
    levels = len(channels)
    layers = tuple(_integers(config, "layers_per_block", levels))
    down = _depths(config, "down_block_types", "DownBlock2D", "transformer_layers_per_block", layers)
    up_key = "reverse_transformer_layers_per_block"
    if config.get(up_key) is None:
        config = {**config, up_key: _reversed(config.get("transformer_layers_per_block", 1))}
    up = _depths(config, "up_block_types", "UpBlock2D", up_key, tuple(n + 1 for n in reversed(layers)))
    added = config.get("addition_embed_type")
    if added not in (None, "text_time"):
        raise ConceptFileError("unet_config.addition_embed_type", "null or 'text_time'", repr(added), EDIT)
    layout = UNetLayout(
        in_channels=_integer(config, "in_channels", 4),
        out_channels=_integer(config, "out_channels", 4),
        channels=channels,
        layers=layers,
        down_depths=down,
        up_depths=up,
        middle_depth=_middle(config),
        heads=tuple(_integers(config, "num_attention_heads" if config.get("num_attention_heads") is not None
                              else "attention_head_dim", levels, 8)),
        linear_projection=bool(config.get("use_linear_projection", False)),
        context_dim=_integer(config, "cross_attention_dim", 1280),
        added_dim=_integer(config, "projection_class_embeddings_input_dim", None) if added else None,
        time_id_dim=_integer(config, "addition_time_embed_dim", 256) if added else 256,
    )  # fmt: skip
    _check(layout)
    return layout


def _refuse_unknown(config: Mapping[str, Any]) -> None:
    for key, value in config.items():
        if key in READ or key in IGNORED or key.startswith("_"):
            continue
        if key in FIXED:
            same = value == FIXED[key] or (value in (None, False) and FIXED[key] in (None, False))
            if not same:
                raise ConceptFileError(f"unet_config.{key}", repr(FIXED[key]), repr(value), EDIT)
        elif value not in (None, False):
            raise ConceptFileError(f"unet_config.{key}", "a key of SD1.5, SD2 or SDXL", repr(value), EDIT)


def _integer(config: Mapping[str, Any], key: str, default: int | None) -> int:
    value = config.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConceptFileError(f"unet_config.{key}", "a whole number of at least 1", repr(value), EDIT)
    return value


def _integers(config: Mapping[str, Any], key: str, levels: int | None, default: int | None = None) -> list[int]:
    """Return the value of a key as a list with one number per level; a single number is repeated for all levels."""
    given = config.get(key, default)
    value: object = [given] * levels if isinstance(given, int) and levels is not None else given
    values: list[Any] = list(value) if isinstance(value, (list, tuple)) else []
    if not values or levels not in (None, len(values)) or not all(type(n) is int and n >= 1 for n in values):
        count = "of each level" if levels is None else f"for each of the {levels} levels"
        raise ConceptFileError(f"unet_config.{key}", f"whole numbers {count}", repr(given), EDIT)
    return values


def _reversed(depths: Any) -> Any:
    return list(reversed(depths)) if isinstance(depths, (list, tuple)) else depths


def _depths(
    config: Mapping[str, Any], types_key: str, plain: str, depths_key: str, layers: tuple[int, ...]
) -> tuple[tuple[int, ...], ...]:
    """Return the transformer blocks beside each residual block of each level, for the down side or the up side."""
    types = config.get(types_key)
    if not isinstance(types, (list, tuple)) or len(types) != len(layers):
        raise ConceptFileError(f"unet_config.{types_key}", f"{len(layers)} block types", repr(types), EDIT)
    given: Any = config.get(depths_key, 1)
    depths: Sequence[Any] = list(given) if isinstance(given, (list, tuple)) else [given] * len(layers)
    if len(depths) != len(layers):
        raise ConceptFileError(f"unet_config.{depths_key}", f"{len(layers)} depths", repr(depths), EDIT)
    rows = []
    for kind, depth, count in zip(types, depths, layers, strict=True):
        if kind not in (plain, f"CrossAttn{plain}"):
            raise ConceptFileError(f"unet_config.{types_key}", f"{plain} or CrossAttn{plain}", repr(kind), EDIT)
        row = list(depth) if isinstance(depth, (list, tuple)) else [depth] * count
        if kind == plain:
            row = [0] * count
        elif len(row) != count or not all(isinstance(n, int) and n >= 1 for n in row):
            raise ConceptFileError(f"unet_config.{depths_key}", f"{count} depths of at least 1", repr(depth), EDIT)
        rows.append(tuple(row))
    return tuple(rows)


def _middle(config: Mapping[str, Any]) -> int | None:
    kind = config.get("mid_block_type", "UNetMidBlock2DCrossAttn")
    if kind is None:
        return None
    if kind == "UNetMidBlock2D":
        return -1
    if kind != "UNetMidBlock2DCrossAttn":
        raise ConceptFileError("unet_config.mid_block_type", "a middle block of SD1.5, SD2, SDXL", repr(kind), EDIT)
    depth = config.get("transformer_layers_per_block", 1)
    while isinstance(depth, (list, tuple)) and depth:
        depth = depth[-1]
    if not isinstance(depth, int) or depth < 1:
        raise ConceptFileError("unet_config.transformer_layers_per_block", "a depth of at least 1", repr(depth), EDIT)
    return depth


def _check(layout: UNetLayout) -> None:
    for width, heads in zip(layout.channels, layout.heads, strict=True):
        if width % 32:
            raise ConceptFileError("unet_config.block_out_channels", "multiples of 32", str(width), EDIT)
        if width % heads:
            raise ConceptFileError(
                "unet_config.attention_head_dim", f"a number of heads that divides {width}", str(heads), EDIT
            )
    if layout.pooled_dim is not None and layout.pooled_dim < 1:
        raise ConceptFileError(
            "unet_config.projection_class_embeddings_input_dim",
            f"more than {TIME_IDS} x addition_time_embed_dim ({layout.time_id_dim})", str(layout.added_dim), EDIT,
        )  # fmt: skip
