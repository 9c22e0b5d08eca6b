"""A base from a folder as diffusers' pipelines save it: unet, vae, text_encoder(_2), tokenizer(_2), scheduler."""

from pathlib import Path
from typing import Any

from gcfg_core.architectures import family_of
from gcfg_core.input_error import InputError

from .assemble import Parts, assemble, checked_layout, plain_config
from .clip import CLASSES, CLIP_VOCABULARY, ClipEncoder, ClipText, build_clip
from .codec import VaeCodec, build_vae
from .model import Base
from .prediction import ReadOptions, Told, decide_schedule, told_by_scheduler
from .tokenizers import comfyui_tokenizer, is_tokenizer, read_tokenizer, tokenizer_folder
from .weights import folder_tensors, read_json

CONFIG = "config.json"


def read_folder(folder: Path, options: ReadOptions) -> Base:
    """A base of SD1.5, SD2 or SDXL, of any size.

    Raises:
        InputError: the folder is incomplete, damaged or holds another kind of model.
    """
    if not (folder / "unet").is_dir():
        alone = (folder / CONFIG).is_file()
        got = "one part of it alone" if alone else "a folder without unet/"
        remedy = "Give the folder above." if alone else "Give the folder that holds unet/, vae/ and text_encoder/."
        raise InputError(str(folder), "a diffusers model folder", got, remedy)
    given = read_json(folder / "unet" / CONFIG)
    layout = checked_layout(given, f"{folder.name}: unet")
    config, tensors = plain_config(given), folder_tensors(folder / "unet")
    told = _told(folder)
    vae = build_vae(read_json(folder / "vae" / CONFIG), folder_tensors(folder / "vae"), folder.name)
    return assemble(
        Parts(
            name=folder.resolve().name,
            config=config,
            tensors=tensors,
            schedule=decide_schedule(options, told, config, tensors),
            codec=VaeCodec(vae),
            text=_text(folder, options, pooled=layout.pooled_dim is not None, zero_pad=family_of(config) == "sd2"),
        )
    )


def _told(folder: Path) -> Told:
    path = folder / "scheduler" / "scheduler_config.json"
    return told_by_scheduler(read_json(path), folder.name) if path.is_file() else Told()


def _text(folder: Path, options: ReadOptions, pooled: bool, zero_pad: bool) -> ClipText:
    """The text encoders; ``zero_pad``: the first pads with 0 where no tokenizer says otherwise. SDXL's second does."""
    encoders = []
    for number in range(2 if pooled else 1):
        model = _encoder(folder / ("text_encoder_2" if number else "text_encoder"), projection=number == 1)
        pad = 0 if zero_pad or number else None
        encoders.append(with_tokenizer(ClipEncoder(model, pad), number, folder, options))
    return ClipText(encoders, pooled)


def with_tokenizer(encoder: ClipEncoder, number: int, folder: Path | None, options: ReadOptions) -> ClipEncoder:
    """The encoder with the tokenizer that the user named, or the one in the base's folder, or ComfyUI's, or none."""
    vocabulary = int(encoder.model.config.vocab_size)
    if options.tokenizer is not None:
        place, own = tokenizer_folder(options.tokenizer, number)
    else:
        place, own = tokenizer_folder(str(folder), number) if folder is not None else (None, False)
        if place is None or not is_tokenizer(place):
            place, own = (comfyui_tokenizer() if vocabulary >= CLIP_VOCABULARY else None), False
    if place is None:
        return encoder
    tokenizer = read_tokenizer(place, vocabulary)
    return ClipEncoder(encoder.model, tokenizer.pad_token_id if own else encoder.pad, tokenizer)


def _encoder(folder: Path, projection: bool) -> Any:
    config = read_json(folder / CONFIG)
    kinds = config.get("architectures") or list(CLASSES)[:1]
    if kinds[0] not in CLASSES:
        raise InputError(str(folder), " or ".join(CLASSES), str(kinds[0]), "Other text encoders are not supported.")
    return build_clip(config, folder_tensors(folder), projection, str(folder))
