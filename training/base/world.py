"""A small world of our own as a base: a folder with world.json, unet.safetensors and text_encoder.safetensors."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from gcfg_core.concept_file import read_concept
from gcfg_core.input_error import InputError
from gcfg_core.small_text_encoder import read_text_encoder

from .assemble import build_unet, plain_config
from .model import Base
from .weights import as_input_error, digest_of
from .world_config import is_recipe
from .world_file import TEXT, UNET, WORLD, read_world_file
from .world_new import assemble_world
from .world_text import word_text


def is_world(path: str | Path) -> bool:
    """Whether `read_world` is the reader for this path: a world's folder, its world.json, or a recipe for a new one."""
    return (_folder(path) / WORLD).is_file() or is_recipe(path)


def read_world(path: str | Path) -> Base:
    """A world as it was written, in float32 on the CPU, the text encoder frozen but trainable.

    Raises:
        InputError: it is damaged, its files do not belong together, or it is a recipe, which holds no weights yet.
    """
    folder = _folder(path)
    if not (folder / WORLD).is_file():
        raise InputError(str(path), "a trained world (a folder)", "a recipe for a new one",
                         "Train it first: `python -m training train --kind text --train-text`.")  # fmt: skip
    page = read_world_file(folder)
    with as_input_error(str(folder)):
        concept, stored = read_concept(folder / UNET), read_text_encoder(folder / TEXT)
    if concept.null_text:
        raise InputError(str(folder / UNET), "a UNet that reads text", concept.kind, "Give the world it came from.")
    _check_digest(folder / UNET, concept.tensors, page.unet)
    _check_digest(folder / TEXT, stored.tensors, page.text_encoder)
    told, schedule = (concept.prediction_type, concept.zero_terminal_snr), page.schedule
    if told != (schedule.prediction_type, schedule.zero_terminal_snr):
        raise InputError(str(folder / UNET), f"the schedule of {WORLD}", str(told), "Write the world again.")
    config = plain_config(concept.config)
    unet = build_unet(config, concept.tensors, f"{folder.name}: {UNET}")
    text = word_text(stored, f"{folder.name}: {TEXT}")
    name = page.title or folder.resolve().name
    return assemble_world(unet, config, text, schedule.prediction_type, schedule.zero_terminal_snr, name)


def _folder(path: str | Path) -> Path:
    return Path(path).parent if Path(path).name == WORLD else Path(path)


def _check_digest(path: Path, tensors: Mapping[str, Tensor], told: str) -> None:
    if digest_of(tensors) != told:
        remedy = "The files are not of one world, or damaged; copy the whole folder again."
        raise InputError(str(path), f"the weights that {WORLD} names", "other ones", remedy)
