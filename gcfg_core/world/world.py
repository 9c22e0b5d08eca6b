"""A small world: a folder with world.json, unet.safetensors and text_encoder.safetensors, read and checked."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from ..concept.concept import Concept
from ..concept.concept_file import read_concept
from ..concept.tensor_digest import digest_of
from ..errors import ConceptFileError
from .page import TEXT, UNET, WORLD, WorldPage, read_world_page
from .text_encoder import SmallTextEncoder, read_text_encoder


@dataclass(frozen=True, eq=False)
class World:
    """A world in memory.

    Attributes:
        page: the contents of world.json.
        concept: the world's UNet, which reads text.
        text_encoder: computes the features that the UNet reads.
    """

    page: WorldPage
    concept: Concept
    text_encoder: SmallTextEncoder


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
    schedule = (concept.prediction_type, concept.zero_terminal_snr)
    if schedule != (page.prediction_type, page.zero_terminal_snr):
        raise ConceptFileError(UNET, f"the noise schedule of {WORLD}", str(schedule), "Write the world again.")
    if concept.latents != page.latent_format:
        raise ConceptFileError(UNET, f"the latent format of {WORLD}", concept.latents, "Write the world again.")
    width, wanted = text_encoder.config["hidden_size"], concept.config.get("cross_attention_dim")
    if width != wanted:
        raise ConceptFileError(TEXT, f"features of width {wanted}", str(width), "These files are not of one world.")
    return World(page, concept, text_encoder)


def _check_digest(name: str, tensors: Mapping[str, Tensor], digest: str) -> None:
    if digest_of(tensors) != digest:
        remedy = "The files are not of one world, or damaged; copy the whole folder again."
        raise ConceptFileError.saying(name, f"Its weights are not those that {WORLD} names. {remedy}")
