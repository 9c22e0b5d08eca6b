"""Read a base from a diffusers pipeline folder: unet, vae, text_encoder(_2), tokenizer(_2), scheduler."""

from pathlib import Path
from typing import Any

from gcfg_core.concept.families import family_of
from gcfg_core.errors import InputError

from .assemble import Parts, assemble, checked_layout, plain_config
from .clip import CLASSES, CLIP_VOCABULARY, ClipEncoder, ClipText, build_clip
from .codec import VaeCodec, build_vae
from .model import Base
from .prediction import ReadOptions, StatedSchedule, decide_schedule, stated_by_scheduler
from .single_file_kind import BASE, LCM_KIND, LCM_REMEDY
from .tokenizers import comfyui_tokenizer, is_tokenizer, read_tokenizer, tokenizer_folder
from .vae import GIVE_VAE, read_vae
from .variants import Variants
from .weights import read_json

CONFIG, INDEX = "config.json", "model_index.json"


def read_folder(folder: Path, options: ReadOptions) -> Base:
    """Read a base of SD1.5, SD2 or SDXL, of any size.

    Raises:
        InputError: the folder is incomplete, damaged or contains another kind of model.
    """
    if not (folder / "unet").is_dir():
        raise _no_unet(folder)
    given = read_json(folder / "unet" / CONFIG)
    if given.get("time_cond_proj_dim") is not None:
        raise InputError(f"{folder.name}: unet", BASE, f"{LCM_KIND} (time_cond_proj_dim)", LCM_REMEDY)
    layout = checked_layout(given, f"{folder.name}: unet")
    variants = Variants(folder, options.variant)
    config, tensors = plain_config(given), variants.tensors("unet")
    stated = _stated(folder)
    text = _text(folder, options, variants, layout.pooled_dim is not None, zero_pad=family_of(config).zero_pad)
    vae = _vae(folder, variants) if options.vae is None else read_vae(Path(options.vae), family_of(config))
    return assemble(
        Parts(
            name=folder.resolve().name,
            config=config,
            tensors=tensors,
            schedule=decide_schedule(options, stated, config, tensors),
            codec=VaeCodec(vae),
            text=text,
            notes=variants.notes(),
        )
    )


def _no_unet(folder: Path) -> InputError:
    """Return the error about a folder without unet/; it names the pipeline if the folder has another kind."""
    got, remedy = "a folder without unet/", "Give the folder that holds unet/, vae/ and text_encoder/."
    index = folder / INDEX
    if index.is_file():
        kind = str(read_json(index).get("_class_name"))
        got, remedy = f"a {kind} without unet/", "Only SD1.5, SD2 and SDXL can be trained."
    elif (folder / CONFIG).is_file():
        kind = read_json(folder / CONFIG).get("_class_name")
        got, remedy = f"only one part of it{f' ({kind})' if kind else ''}", "Give the folder above."
    return InputError(str(folder), "a diffusers model folder", got, remedy)


def _vae(folder: Path, variants: Variants) -> Any:
    if not (folder / "vae").is_dir():
        raise InputError(str(folder / "vae" / CONFIG), "a VAE", "nothing there", GIVE_VAE)
    return build_vae(read_json(folder / "vae" / CONFIG), variants.tensors("vae"), folder.name)


def _stated(folder: Path) -> StatedSchedule:
    path = folder / "scheduler" / "scheduler_config.json"
    return stated_by_scheduler(read_json(path), folder.name) if path.is_file() else StatedSchedule()


def _text(folder: Path, options: ReadOptions, variants: Variants, pooled: bool, zero_pad: bool) -> ClipText:
    """Read the text encoders. ``zero_pad``: without a tokenizer the first pads with 0; SDXL's second always does."""
    encoders = []
    for number in range(2 if pooled else 1):
        model = _encoder(folder, "text_encoder_2" if number else "text_encoder", variants, projection=number == 1)
        pad = 0 if zero_pad or number else None
        encoders.append(with_tokenizer(ClipEncoder(model, pad), number, folder, options))
    return ClipText(encoders, pooled)


def with_tokenizer(encoder: ClipEncoder, number: int, folder: Path | None, options: ReadOptions) -> ClipEncoder:
    """Add a tokenizer to the encoder: the user's, else the base folder's, else ComfyUI's, else none."""
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


def _encoder(folder: Path, part: str, variants: Variants, projection: bool) -> Any:
    place = folder / part
    config = read_json(place / CONFIG)
    kinds = config.get("architectures") or list(CLASSES)[:1]
    if kinds[0] not in CLASSES:
        raise InputError(str(place), " or ".join(CLASSES), str(kinds[0]), "Other text encoders are not supported.")
    return build_clip(config, variants.tensors(part), projection, str(place))
