"""Read the text encoders of a checkpoint in ldm's names: CLIP-L, OpenCLIP-H, or SDXL's CLIP-L and OpenCLIP-bigG."""

from collections.abc import Mapping
from types import SimpleNamespace

from diffusers.loaders import single_file_utils as ldm
from torch import Tensor

from gcfg_core.concept.families import of_each_family
from gcfg_core.errors import InputError

from .clip import ClipEncoder, build_clip, unwrapped
from .configs import clip_config, sd2_layers

CLIP_L = "cond_stage_model.transformer."
OPEN_H = "cond_stage_model.model."
SDXL_L, SDXL_G = "conditioner.embedders.0.transformer.", "conditioner.embedders.1.model."
TEXT = ("cond_stage_model.", "conditioner.embedders.")  # prefixes of text encoders
LAYERS = "encoder.layers."


def text_encoders(tensors: Mapping[str, Tensor], family: str, name: str) -> list[ClipEncoder]:
    """Return the text encoders that this family's UNet reads, without tokenizers.

    Raises:
        InputError: the file has no text encoders, or they are not CLIP's.
    """
    return ENCODERS[family](tensors, name)


def _alone(tensors: Mapping[str, Tensor], name: str) -> list[ClipEncoder]:
    if any(key.startswith(OPEN_H) for key in tensors):
        return [_open_clip(tensors, OPEN_H, name, projection=False)]
    return [_clip(tensors, CLIP_L, name)]


def _both(tensors: Mapping[str, Tensor], name: str) -> list[ClipEncoder]:
    return [_clip(tensors, SDXL_L, name), _open_clip(tensors, SDXL_G, name, projection=True)]


ENCODERS = of_each_family({"sd15": _alone, "sd2": _alone, "sdxl": _both})


def _part(tensors: Mapping[str, Tensor], prefix: str, name: str) -> dict[str, Tensor]:
    part = {key: value for key, value in tensors.items() if key.startswith(prefix)}
    if not part:
        remedy = "Give a checkpoint that carries its own text encoders, or a diffusers folder."
        raise InputError(name, f"a text encoder (tensors named {prefix}*)", "none", remedy)
    return part


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {key: tuple(value.shape) for key, value in tensors.items()}


def _clip(tensors: Mapping[str, Tensor], prefix: str, name: str) -> ClipEncoder:
    """Read CLIP-L; some fine-tunes omit the prefix "text_model."."""
    converted = unwrapped(ldm.convert_ldm_clip_checkpoint(_part(tensors, prefix, name)), projection=False)
    config = clip_config(_shapes(converted), open_clip=False, name=name)
    return ClipEncoder(build_clip(config, converted, projection=False, name=f"{name}: {prefix}"), pad=None)


def _open_clip(tensors: Mapping[str, Tensor], prefix: str, name: str, projection: bool) -> ClipEncoder:
    """Read OpenCLIP-H without its last layer, or bigG with its projection, from OpenCLIP's names."""
    part = _part(tensors, prefix, name)
    width = part.get(f"{prefix}token_embedding.weight")
    if width is None:
        raise InputError(name, f"{prefix}token_embedding.weight", "a file without", "Copy or download it again.")
    like = SimpleNamespace(config=SimpleNamespace(hidden_size=width.shape[1]))
    converted = unwrapped(ldm.convert_open_clip_checkpoint(like, part, prefix), projection)
    config = clip_config(_shapes(converted), open_clip=True, name=name)
    if not projection:
        kept = sd2_layers(config["num_hidden_layers"], config["hidden_size"])
        config["num_hidden_layers"] = kept
        config["projection_dim"] = config["hidden_size"]
        converted = {key: value for key, value in converted.items() if _layer(key) < kept}
    return ClipEncoder(build_clip(config, converted, projection, f"{name}: {prefix}"), pad=0)


def _layer(key: str) -> int:
    """Return the layer of a tensor; -1 for the embeddings and the final norm."""
    return int(key.removeprefix(LAYERS).split(".")[0]) if key.startswith(LAYERS) else -1
