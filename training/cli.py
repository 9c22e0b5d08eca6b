"""The command line: look into a concept file, or turn a bare UNet state dict into format 1."""

import argparse
import dataclasses
import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from gcfg_core.concept_error import ConceptFileError
from gcfg_core.concept_file import read_concept, write_concept
from gcfg_core.concept_metadata import PREDICTION_TYPES
from gcfg_core.null_text import FEATURE

BAD_INPUT = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: the command line; sys.argv without.

    Returns:
        0, or 2 after bad input, which is told in one line on stderr.
    """
    options = _parser().parse_args(arguments)
    try:
        print(options.run(options))
    except (ConceptFileError, OSError, SafetensorError) as error:
        print(f"error: {error}", file=sys.stderr)
        return BAD_INPUT
    return 0


def inspect(options: argparse.Namespace) -> str:
    """What a concept file is, one fact a line."""
    concept = read_concept(options.file, _config(options.config))
    constants = [value for key, value in concept.tensors.items() if key.endswith(FEATURE)]
    facts: list[tuple[str, object]] = [
        ("file", options.file),
        ("title", concept.title or "-"),
        ("kind", concept.kind),
        ("architecture", concept.architecture),
        ("parameters", f"{sum(value.numel() for value in concept.tensors.values()) / 1e6:.1f} M"),
        (
            "stored as",
            ", ".join(sorted({str(value.dtype).removeprefix("torch.") for value in concept.tensors.values()})),
        ),
        ("null-text layers", len(constants)),
        ("prediction type", concept.prediction_type),
        ("zero terminal SNR", "yes" if concept.zero_terminal_snr else "no"),
        ("latent format", concept.latents),
        ("base", concept.base or "-"),
        ("training", json.dumps(dict(concept.training), sort_keys=True) if concept.training else "-"),
    ]
    if concept.time_ids is not None:
        facts.append(("size ids", concept.time_ids.flatten().tolist()))
    facts += [("assumed", assumption) for assumption in concept.assumptions]
    return "\n".join(f"{name:<18}{value}" for name, value in facts)


def convert(options: argparse.Namespace) -> str:
    """Write any file that `inspect` understands as format 1."""
    concept = read_concept(options.input, _config(options.config))
    changes: dict[str, Any] = {
        "prediction_type": options.prediction_type,
        "zero_terminal_snr": options.zero_terminal_snr or None,
        "latent_format": options.latent_format,
        "title": options.title,
        "base": options.base,
    }
    concept = dataclasses.replace(concept, **{key: value for key, value in changes.items() if value is not None})
    if options.prediction_type:
        told = tuple(line for line in concept.assumptions if not line.startswith("prediction type"))
        concept = dataclasses.replace(concept, assumptions=told)
    if not concept.training:
        source = {"name": Path(options.input).name, "sha256": _sha256(options.input)}
        concept = dataclasses.replace(concept, training={"converted_from": source})
    if Path(options.output).exists() and not options.overwrite:
        raise ConceptFileError(options.output, "a new file", "one that exists", "Give another name, or --overwrite.")
    write_concept(options.output, concept)
    assumed = "".join(f"\nassumed: {assumption}" for assumption in concept.assumptions)
    return f"{options.output}: {concept.kind}, {concept.architecture}, {concept.prediction_type}{assumed}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    look = commands.add_parser("inspect", help="what a concept file is")
    look.add_argument("file", help="a format 1 file, or a UNet state dict in diffusers' names")
    look.set_defaults(run=inspect)
    turn = commands.add_parser("convert", help="write a bare UNet state dict (.safetensors, .bin, .pt) as format 1")
    turn.add_argument("input", help="a UNet state dict in diffusers' names, null-text or not")
    turn.add_argument("output", help="the .safetensors file to write")
    turn.add_argument("--prediction-type", choices=tuple(PREDICTION_TYPES), help="what the network predicts")
    turn.add_argument("--zero-terminal-snr", action="store_true", help="it was trained with zero terminal SNR")
    turn.add_argument("--latent-format", help="ComfyUI's name of the latent space, such as SD15 or SDXL")
    turn.add_argument("--title", help="a name for people")
    turn.add_argument("--base", help="the model it was made from")
    turn.add_argument("--overwrite", action="store_true", help="replace the output file")
    turn.set_defaults(run=convert)
    for command in (look, turn):
        command.add_argument("--config", help="diffusers' config.json of the UNet, where the tensors do not tell it")
    return parser


def _config(path: str | None) -> dict[str, Any] | None:
    if path is None:
        return None
    try:
        config = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError:
        config = None
    if not isinstance(config, dict):
        raise ConceptFileError(path, "a JSON object", "something else", "Give the config.json of the UNet folder.")
    return config


def _sha256(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as handle:
        while piece := handle.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()
