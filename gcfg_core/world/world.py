"""A small world: a folder with world.json, UNet, text encoder and perhaps a VAE, read and checked."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from ..concept.concept import Concept
from ..concept.concept_file import read_concept
from ..concept.tensor_digest import digest_of
from ..concept.world_latents import TINY_FORMATS
from ..errors import ConceptFileError
from .autoencoder_file import StoredAutoencoder, read_autoencoder
from .page import TEXT, UNET, VAE, WORLD, WorldPage, read_world_page
from .text_encoder import SmallTextEncoder, read_text_encoder

AGAIN = "Write the world again."


@dataclass(frozen=True, eq=False)
class World:
    """A world in memory.

    Attributes:
        page: the contents of world.json.
        concept: the world's UNet, which reads text.
        text_encoder: computes the features that the UNet reads.
        vae: makes latents of pictures; None if the latents are the pixels.
    """

    page: WorldPage
    concept: Concept
    text_encoder: SmallTextEncoder
    vae: StoredAutoencoder | None


def read_world_files(folder: Path) -> World:
    """Read a world's folder.

    Raises:
        ConceptFileError: a file is missing, damaged or of a newer format, or the files do not belong together; the
            error names the file, not the folder.
    """
    page = read_world_page(folder)
    concept, text_encoder = read_concept(folder / UNET), read_text_encoder(folder / TEXT)
    if concept.null_text:
        raise ConceptFileError(UNET, "a UNet that reads text", concept.kind, "Give the world it came from.")
    _check_digest(UNET, concept.tensors, page.unet)
    _check_digest(TEXT, text_encoder.tensors, page.text_encoder)
    vae = read_autoencoder(folder / VAE) if page.vae else None
    if vae is not None:
        _check_digest(VAE, vae.tensors, page.vae)
        if TINY_FORMATS[vae.channels] != page.latent_format:
            got = f"{vae.channels} latent channels"
            raise ConceptFileError(VAE, f"the latent format of {WORLD}, {page.latent_format}", got, AGAIN)
        if concept.vae != page.vae:
            raise ConceptFileError(UNET, f"a UNet for the VAE of {WORLD}", "one for another", AGAIN)
    schedule = (concept.prediction_type, concept.zero_terminal_snr)
    if schedule != (page.prediction_type, page.zero_terminal_snr):
        raise ConceptFileError(UNET, f"the noise schedule of {WORLD}", str(schedule), AGAIN)
    if concept.latents != page.latent_format:
        raise ConceptFileError(UNET, f"the latent format of {WORLD}", concept.latents, AGAIN)
    width, wanted = text_encoder.config["hidden_size"], concept.config.get("cross_attention_dim")
    if width != wanted:
        raise ConceptFileError(TEXT, f"features of width {wanted}", str(width), "These files are not of one world.")
    return World(page, concept, text_encoder, vae)


def _check_digest(name: str, tensors: Mapping[str, Tensor], digest: str) -> None:
    if digest_of(tensors) != digest:
        remedy = "The files are not of one world, or damaged; copy the whole folder again."
        raise ConceptFileError.saying(name, f"Its weights are not those that {WORLD} names. {remedy}")
