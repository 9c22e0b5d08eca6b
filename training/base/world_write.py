"""Write a world's folder completely or not at all: build it beside, flush it to the disk, rename it."""

import os
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gcfg_core.concept.concept import Concept
from gcfg_core.concept.concept_file import write_concept
from gcfg_core.concept.tensor_digest import digest_of
from gcfg_core.durable import flush_folder
from gcfg_core.errors import InputError
from gcfg_core.world.autoencoder_file import write_autoencoder
from gcfg_core.world.page import CARD, TEXT, UNET, VAE, WORLD, WorldPage
from gcfg_core.world.text_encoder import SmallTextEncoder, write_text_encoder

from ..durable import write_bytes, write_json
from .model import Base
from .world_codec import PixelCodec, TinyCodec
from .world_text import WordText


def write_world(
    folder: str | Path,
    base: Base,
    weights: Mapping[str, Tensor] | None = None,
    *,
    title: str = "",
    training: Mapping[str, Any] | None = None,
    extra: Mapping[str, str] | None = None,
    card: str = "",
    dtype: torch.dtype = torch.float32,
) -> None:
    """Write a base from `new_world` or `read_world` as a folder.

    Args:
        folder: new, empty, or a world's folder, which is replaced.
        base: the world.
        weights: values that replace its parameters, for example averages, by name in a run's network: "unet.*",
            "text.*"; other parameters are the base's own.
        title: name for people; default: the folder's name.
        training: facts about the training, as JSON values.
        extra: more metadata for the UNet's file, for example a thumbnail.
        card: text of its README.md; empty: keep an existing README.md.
        dtype: of the stored weights.

    Raises:
        InputError: the base is not a world, or the folder contains other files.
        ConceptFileError: ``weights`` do not fit this world.
        OSError: writing failed; an existing world is unchanged.
    """
    target = Path(folder).absolute()
    _check_target(target)
    title = title or target.name
    concept, stored = _parts(base, weights or {}, title, training or {}, dtype)
    partial = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
    try:
        partial.mkdir(parents=True)
        write_concept(partial / UNET, concept, extra)
        write_text_encoder(partial / TEXT, stored)
        if isinstance(base.codec, TinyCodec):
            write_autoencoder(partial / VAE, base.codec.stored)
        write_json(partial / WORLD, _page(base, concept, stored, title).to_json())
        if card:
            write_bytes(partial / CARD, card.encode())
        elif (target / CARD).is_file():
            shutil.copyfile(target / CARD, partial / CARD)
        flush_folder(partial)
        _swap(partial, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _check_target(target: Path) -> None:
    if target.exists() and not target.is_dir():
        raise InputError(str(target), "a folder", "a file", "Give another name.")
    present = {entry.name for entry in target.iterdir()} if target.exists() else set()
    strange = sorted(present - {WORLD, UNET, TEXT, VAE, CARD})
    if strange or (present and WORLD not in present):
        got = strange[0] if strange else sorted(present)[0]
        raise InputError(str(target), "a new or empty folder, or a world alone", got, "Give another folder.")


def _parts(
    base: Base, weights: Mapping[str, Tensor], title: str, training: Mapping[str, Any], dtype: torch.dtype
) -> tuple[Concept, SmallTextEncoder]:
    """Return the contents of the files of UNet and text encoder."""
    if not isinstance(base.text, WordText) or not isinstance(base.codec, PixelCodec | TinyCodec):
        raise InputError(base.name, "a world of your own", "another kind of base", "Export a concept instead.")
    text = {key.removeprefix("text."): value for key, value in weights.items() if key.startswith("text.")}
    unet = {key.removeprefix("unet."): value for key, value in weights.items() if key.startswith("unet.")}
    stored = base.text.stored(text)
    concept = Concept(
        tensors=_cast({**base.unet.state_dict(), **unet}, dtype),
        config=base.config,
        kind="unet",
        prediction_type=base.schedule.prediction_type,
        zero_terminal_snr=base.schedule.zero_terminal_snr,
        latent_format=base.latent_format,
        vae=base.vae,
        training=training,
        title=title,
    )
    return concept, SmallTextEncoder(_cast(stored.tensors, dtype), stored.config, stored.tokenizer)


def _cast(tensors: Mapping[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    return {key: value.detach().to("cpu", dtype) for key, value in tensors.items()}


def _page(base: Base, concept: Concept, stored: SmallTextEncoder, title: str) -> WorldPage:
    return WorldPage(
        title=title,
        resolution=base.config["sample_size"] * base.codec.factor,
        latent_format=base.latent_format,
        prediction_type=concept.prediction_type,
        zero_terminal_snr=concept.zero_terminal_snr,
        unet=digest_of(concept.tensors),
        text_encoder=digest_of(stored.tensors),
        vae=base.vae,
    )


def _swap(partial: Path, target: Path) -> None:
    """Rename the new folder over the old folder, which is deleted only afterwards."""
    if not target.exists():
        os.replace(partial, target)
    else:
        old = target.with_name(f".{target.name}.{uuid.uuid4().hex}.old")
        os.replace(target, old)
        try:
            os.replace(partial, target)
        except OSError:
            os.replace(old, target)
            raise
        shutil.rmtree(old, ignore_errors=True)
    flush_folder(target.parent)
