"""`python -m training convert IN OUT`: a bare UNet state dict, such as the authors' files, as format 1, and back. Needs
torch."""

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gcfg_core.concept_error import ConceptFileError
from gcfg_core.concept_file import read_concept, write_concept
from gcfg_core.concept_metadata import PREDICTION_TYPES

from ..arguments import Arguments
from ..durable import sha256_of
from .bare import write_bare
from .unet_config import CONFIG_HELP, read_config

ABOUT = (
    "Write a bare UNet state dict (.safetensors, .bin, .pt), such as the paper authors' files, as format 1; or with "
    "--bare a format 1 file as the bare state dict that the authors' code loads."
)
# What a bare state dict cannot hold.
DESCRIBING = ("prediction_type", "zero_terminal_snr", "latent_format", "title", "base")


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Settings of a command line; --help ends the program.

    Raises:
        InputError: the first thing that is wrong, unknown or missing.
    """
    parser = Arguments("python -m training convert", ABOUT)
    parser.add_argument("input", help="a UNet state dict in diffusers' names, null-text or not, or a format 1 file")
    parser.add_argument("output", help="the .safetensors file to write; with --bare also .bin or .pt")
    parser.add_argument("--bare", action="store_true", help="write the tensors alone, as the authors' files have them")
    parser.add_argument("--prediction-type", choices=tuple(PREDICTION_TYPES), help="what the network predicts")
    parser.add_argument("--zero-terminal-snr", action=argparse.BooleanOptionalAction, default=None,
                        help="whether it was trained with zero terminal SNR; what the file says without")  # fmt: skip
    parser.add_argument("--latent-format", help="ComfyUI's name of the latent space, such as SD15 or SDXL")
    parser.add_argument("--title", help="a name for people")
    parser.add_argument("--base", help="the model it was made from")
    parser.add_argument("--overwrite", action="store_true", help="replace the output file")
    parser.add_argument("--config", help=CONFIG_HELP)
    return parser.read(arguments)


def run(options: argparse.Namespace) -> str:
    """Write any file that `inspect` understands as format 1, or as a bare state dict; what was written and assumed.

    Raises:
        ConceptFileError: the file cannot be used, or the output exists.
        OSError, SafetensorError: it could not be written.
    """
    if Path(options.output).exists() and not options.overwrite:
        raise ConceptFileError(options.output, "a new file", "one that exists", "Give another name, or --overwrite.")
    concept = read_concept(options.input, read_config(options.config))
    changes: dict[str, Any] = {key: value for key in DESCRIBING if (value := getattr(options, key)) is not None}
    if options.bare:
        _refuse_description(sorted(changes))
        return write_bare(options.output, concept, options.overwrite)
    concept = dataclasses.replace(concept, **changes)
    if concept.zero_terminal_snr and concept.prediction_type == "epsilon":
        raise ConceptFileError(
            f"{Path(options.input).name}: zero terminal SNR", "v_prediction", "epsilon",
            "Give --prediction-type v_prediction or --no-zero-terminal-snr, whichever is true.",
        )  # fmt: skip
    if options.prediction_type:
        told = tuple(line for line in concept.assumptions if not line.startswith("prediction type"))
        concept = dataclasses.replace(concept, assumptions=told)
    if not concept.training:
        source = {"name": Path(options.input).name, "sha256": sha256_of(Path(options.input))}
        concept = dataclasses.replace(concept, training={"converted_from": source})
    write_concept(options.output, concept)
    assumed = "".join(f"\nassumed: {assumption}" for assumption in concept.assumptions)
    return f"{options.output}: {concept.kind}, {concept.architecture}, {concept.prediction_type}{assumed}"


def _refuse_description(described: list[str]) -> None:
    """Raise ConceptFileError where something shall be said in a file that says nothing."""
    if described:
        flag = f"--{described[0].replace('_', '-')}"
        raise ConceptFileError("--bare", "no description, which a bare state dict cannot hold", flag, "Leave one out.")
