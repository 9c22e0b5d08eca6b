"""Create a small world before training: initial weights of UNet and text encoder, and a vocabulary from captions."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel

from gcfg_core.concept.families import layout_of
from gcfg_core.concept.tensor_digest import digest_of
from gcfg_core.errors import InputError
from gcfg_core.world.autoencoder_file import read_autoencoder
from gcfg_core.world.page import SCHEDULE
from gcfg_core.world.text_encoder import text_config
from gcfg_core.world.tokenizer import SPECIAL, word_tokenizer

from ..seeds import seed_of
from .model import Base
from .noise_schedule import noise_schedule
from .weights import as_input_error, check_finite
from .world_codec import PixelCodec, TinyCodec, WorldCodec
from .world_config import WorldConfig, read_world_config
from .world_text import WordText, new_word_text


def new_world(
    config: WorldConfig, captions: Sequence[str], name: str = "world", codec: WorldCodec | None = None
) -> Base:
    """Create a base to train from scratch (kind "text", with its text encoder). Equal arguments give equal bits.

    Args:
        config: sizes and seed.
        captions: of the training set; their words become the vocabulary.
        name: for people and messages.
        codec: makes latents of pictures; default: pixels in blocks of ``config.block``.

    Raises:
        InputError: sizes do not fit each other, or captions have no words.
    """
    codec = codec or PixelCodec(config.block)
    unet_config = world_unet_config(config, codec, name)
    text = _text(config, captions, name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(config.seed, "world", "unet"))
        unet: Any = UNet2DConditionModel.from_config(unet_config)
    return assemble_world(unet, unet_config, text, codec, config.prediction_type, config.zero_terminal_snr, name)


def world_from_recipe(path: str | Path, captions: Sequence[str], vae: str | None = None) -> Base:
    """Create a world from a TOML or JSON file (`world_config.is_recipe`), named after it.

    Args:
        path: of the file.
        captions: of the training set.
        vae: file of a tiny autoencoder; default: latents are pixels.

    Raises:
        InputError: a file cannot be read, or `new_world` refuses the settings.
    """
    config = read_world_config(path)
    return new_world(config, captions, Path(path).stem, recipe_codec(config, vae, Path(path).name))


def recipe_codec(config: WorldConfig, vae: str | None, name: str) -> WorldCodec:
    """Read a new world's VAE, or return the codec of its pixels; ``name`` is for messages.

    Raises:
        InputError: the file is no tiny autoencoder, or damaged; or the world has a VAE and blocks of pixels.
    """
    if vae is None:
        return PixelCodec(config.block)
    if config.block != 1:
        raise InputError(
            f"{name}: block", "1 beside a VAE, which makes the latents", str(config.block), "Leave it out."
        )
    with as_input_error(vae):
        stored = read_autoencoder(vae)
    check_finite(stored.tensors, vae)
    return TinyCodec(stored)


def assemble_world(
    unet: Any,
    config: dict[str, Any],
    text: WordText,
    codec: WorldCodec,
    prediction_type: str,
    zero_terminal_snr: bool,
    name: str,
) -> Base:
    """Build a base from a world's parts, with the empty prompt's condition.

    Raises:
        InputError: the noise schedule is impossible, or the parts do not fit each other.
    """
    with torch.no_grad():
        null = text.encode([""])
    width, wanted = null.hidden_states.shape[-1], config["cross_attention_dim"]
    if width != wanted:
        raise InputError(
            f"{name}: width of the text features", str(wanted), str(width), "They are of different worlds."
        )
    if config["in_channels"] != codec.channels:
        expected = f"{codec.channels}, of its latents"
        raise InputError(
            f"{name}: in_channels", expected, str(config["in_channels"]), "It is no world, or its VAE another's."
        )
    return Base(
        name=name,
        sha256=digest_of(unet.state_dict()),
        unet=unet.eval(),
        config=config,
        schedule=noise_schedule(SCHEDULE, prediction_type, zero_terminal_snr),
        codec=codec,
        null=null,
        text=text,
        latent_format=codec.latent_format,
    )


def world_unet_config(config: WorldConfig, codec: WorldCodec, name: str = "world") -> dict[str, Any]:
    """Return diffusers' UNet2DConditionModel configuration of a world: SD1.5's kind of network.

    Raises:
        InputError: sizes do not fit each other.
    """
    levels, side = len(config.channels), codec.factor * 2 ** (len(config.channels) - 1)
    if len(config.attention) != levels:
        raise InputError(f"{name}: attention", f"a value for each of the {levels} levels", str(len(config.attention)),
                         "Give true or false for each of `channels`.")  # fmt: skip
    if config.resolution % side:
        remedy = f"Latents are {codec.factor} times smaller, and {levels} levels halve them {levels - 1} times."
        raise InputError(f"{name}: resolution", f"a multiple of {side}", str(config.resolution), remedy)
    unet = {
        "in_channels": codec.channels,
        "out_channels": codec.channels,
        "sample_size": config.resolution // codec.factor,
        "block_out_channels": list(config.channels),
        "layers_per_block": config.layers,
        "down_block_types": ["CrossAttnDownBlock2D" if reads else "DownBlock2D" for reads in config.attention],
        "up_block_types": ["CrossAttnUpBlock2D" if reads else "UpBlock2D" for reads in reversed(config.attention)],
        "mid_block_type": "UNetMidBlock2DCrossAttn",
        "transformer_layers_per_block": 1,
        "cross_attention_dim": config.context,
        "attention_head_dim": config.heads,
        "use_linear_projection": False,
    }
    with as_input_error(name):
        layout_of(unet)
    return unet


def _text(config: WorldConfig, captions: Sequence[str], name: str) -> WordText:
    with as_input_error(name):
        tokenizer = word_tokenizer(captions, config.tokens, config.vocabulary)
        if len(tokenizer) == len(SPECIAL):
            raise InputError(f"{name}: captions", "words to make a vocabulary of", "none",
                             "Give captions: --captions sidecar or metadata.")  # fmt: skip
        sizes = text_config(tokenizer, config.context, config.text_layers, config.text_heads)
    return new_word_text(sizes, tokenizer, config.seed)
