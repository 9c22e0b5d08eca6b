"""`python -m training convert IN OUT`: convert a bare UNet state dict, for example the authors' files, to format 1 and
back, or a LoRA concept of version 0.1.0 to a LoRA that other programs read. Needs only torch."""

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from gcfg_core.concept.concept import Concept
from gcfg_core.concept.concept_file import read_concept, write_concept
from gcfg_core.concept.lora import LoraConcept
from gcfg_core.concept.lora_file import is_lora_concept, read_lora_concept, write_lora_concept
from gcfg_core.concept.metadata import PREDICTION_TYPES
from gcfg_core.errors import ConceptFileError

from ..console.arguments import Arguments
from ..console.program import PROGRAM
from ..durable import sha256_of
from .bare import write_bare
from .unet_config import CONFIG_HELP, read_config

ABOUT = (
    "Convert a bare UNet state dict (.safetensors, .bin, .pt), as the paper authors' files are, to format 1; or with "
    "--bare a format 1 file as the bare state dict that the authors' code loads. A LoRA concept of version 0.1.0 "
    "becomes a LoRA that other programs read."
)
Described = TypeVar("Described", Concept, LoraConcept)
# Facts that a bare state dict cannot store.
DESCRIBING = ("prediction_type", "zero_terminal_snr", "latent_format", "title", "base")


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the command line; --help ends the program.

    Raises:
        InputError: the first wrong, unknown or missing argument.
    """
    parser = Arguments(f"{PROGRAM} convert", ABOUT)
    parser.add_argument("input", help="a UNet state dict in diffusers' names, null-text or not, or a format 1 file")
    parser.add_argument("output", help="the .safetensors file to write; with --bare also .bin or .pt")
    parser.add_argument("--bare", action="store_true", help="write only the tensors, as in the authors' files")
    parser.add_argument("--prediction-type", choices=tuple(PREDICTION_TYPES), help="what the network predicts")
    parser.add_argument("--zero-terminal-snr", action=argparse.BooleanOptionalAction, default=None,
                        help="trained with zero terminal SNR; default: as the file says")  # fmt: skip
    parser.add_argument("--latent-format", help="ComfyUI's name of the latent space, for example SD15 or SDXL")
    parser.add_argument("--title", help="name for people")
    parser.add_argument("--base", help="name of the base model")
    parser.add_argument("--overwrite", action="store_true", help="replace the output file")
    parser.add_argument("--config", help=CONFIG_HELP)
    return parser.read(arguments)


def run(options: argparse.Namespace) -> str:
    """Write any file that `inspect` understands as a concept file or a bare state dict; return what was written and
    assumed.

    Raises:
        ConceptFileError: the input cannot be used, or the output exists.
        OSError, SafetensorError: writing failed.
    """
    if Path(options.output).exists() and not options.overwrite:
        raise ConceptFileError(options.output, "a new file", "an existing file", "Give another name, or --overwrite.")
    changes: dict[str, Any] = {key: value for key in DESCRIBING if (value := getattr(options, key)) is not None}
    if is_lora_concept(options.input) and not options.bare:
        lora = _described(read_lora_concept(options.input), changes, options)
        write_lora_concept(options.output, lora)
        return f"{options.output}: {lora.kind}, {len(lora.layers)} layers, {lora.prediction_type}"
    concept = read_concept(options.input, read_config(options.config))
    if options.bare:
        _refuse_description(sorted(changes))
        return write_bare(options.output, concept, options.overwrite)
    concept = _described(concept, changes, options)
    given = tuple(key.replace("_", " ") for key in changes)
    assumptions = tuple(line for line in concept.assumptions if not line.startswith(given))
    concept = dataclasses.replace(concept, assumptions=assumptions)
    write_concept(options.output, concept)
    assumed = "".join(f"\nassumed: {assumption}" for assumption in concept.assumptions)
    return f"{options.output}: {concept.kind}, {concept.architecture}, {concept.prediction_type}{assumed}"


def _described(concept: Described, changes: dict[str, Any], options: argparse.Namespace) -> Described:
    """Return the concept with the facts from the command line, and with its source if it has no training facts.

    Raises:
        ConceptFileError: zero terminal SNR is combined with epsilon prediction.
    """
    concept = dataclasses.replace(concept, **changes)
    if concept.zero_terminal_snr and concept.prediction_type == "epsilon":
        raise ConceptFileError(
            f"{Path(options.input).name}: zero terminal SNR", "v_prediction", "epsilon",
            "Give --prediction-type v_prediction or --no-zero-terminal-snr, whichever is true.",
        )  # fmt: skip
    if not concept.training:
        source = {"name": Path(options.input).name, "sha256": sha256_of(Path(options.input))}
        concept = dataclasses.replace(concept, training={"converted_from": source})
    return concept


def _refuse_description(described: list[str]) -> None:
    """Raise ConceptFileError if facts are given for a bare state dict, which cannot store them."""
    if described:
        flag = f"--{described[0].replace('_', '-')}"
        raise ConceptFileError("--bare", "no description, which a bare state dict cannot hold", flag, "Leave it out.")
