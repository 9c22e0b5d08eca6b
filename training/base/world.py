"""Read a small world's folder as a base."""

from pathlib import Path

from gcfg_core.errors import InputError
from gcfg_core.world.page import TEXT, UNET, VAE, WORLD
from gcfg_core.world.world import read_world_files

from ..console.program import PROGRAM
from .assemble import build_unet, plain_config
from .model import Base
from .weights import as_input_error, check_finite
from .world_codec import PixelCodec, TinyCodec
from .world_config import is_recipe
from .world_new import assemble_world
from .world_text import word_text


def is_world(path: str | Path) -> bool:
    """True if `read_world` accepts this path: a world's folder, its world.json, or a recipe for a new world."""
    return (_folder(path) / WORLD).is_file() or is_recipe(path)


def read_world(path: str | Path) -> Base:
    """Read a trained world in float32 on the CPU; its text encoder is frozen but can be trained.

    Raises:
        InputError: the world is damaged, its files do not belong together, or it is a recipe without weights.
    """
    folder = _folder(path)
    if not (folder / WORLD).is_file():
        raise InputError(str(path), "a trained world (a folder)", "a recipe for a new world",
                         f"Train it first: `{PROGRAM} train --kind text --train-text`.")  # fmt: skip
    with as_input_error(str(folder)):
        world = read_world_files(folder)
    check_finite({f"{UNET}: {key}": value for key, value in world.concept.tensors.items()}, folder.name)
    if world.vae:
        check_finite({f"{VAE}: {key}": value for key, value in world.vae.tensors.items()}, folder.name)
    check_finite({f"{TEXT}: {key}": value for key, value in world.text_encoder.tensors.items()}, folder.name)
    page, config = world.page, plain_config(world.concept.config)
    unet = build_unet(config, world.concept.tensors, f"{folder.name}: {UNET}")
    text = word_text(world.text_encoder, f"{folder.name}: {TEXT}")
    name = page.title or folder.resolve().name
    codec = TinyCodec(world.vae) if world.vae else PixelCodec(page.block)
    return assemble_world(unet, config, text, codec, page.prediction_type, page.zero_terminal_snr, name)


def _folder(path: str | Path) -> Path:
    return Path(path).parent if Path(path).name == WORLD else Path(path)
