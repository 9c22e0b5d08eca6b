"""`python -m training inspect FILE`: what is in a concept file, and whether it can be used. Needs torch alone."""

import argparse
import json
from collections.abc import Sequence
from typing import Any

from gcfg_core.concept_file import Concept, read_concept
from gcfg_core.lora_concept import is_lora_concept, read_lora_concept
from gcfg_core.null_text import FEATURE

from .unet_config import CONFIG_HELP, read_config

ABOUT = "What a concept file is."


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Settings of a command line; --help and what is no setting end the program."""
    parser = argparse.ArgumentParser(prog="python -m training inspect", description=ABOUT)
    parser.add_argument("file", help="a format 1 file, or a UNet state dict in diffusers' names")
    parser.add_argument("--config", help=CONFIG_HELP)
    return parser.parse_args(arguments)


def run(options: argparse.Namespace) -> str:
    """One fact a line.

    Raises:
        ConceptFileError: the file cannot be used.
    """
    if is_lora_concept(options.file):
        lora = read_lora_concept(options.file)
        facts = _facts(lora.with_tensors({**lora.factors, **lora.features}, "null-text-lora"))
        facts[5:5] = [("rank, alpha", f"{lora.rank}, {lora.alpha:g}"), ("adapted layers", len(lora.layers))]
    else:
        facts = _facts(read_concept(options.file, read_config(options.config)))
    return "\n".join(f"{name:<18}{value}" for name, value in [("file", options.file), *facts])


def _facts(concept: Concept) -> list[tuple[str, Any]]:
    constants = [value for key, value in concept.tensors.items() if key.endswith(FEATURE)]
    stored = sorted({str(value.dtype).removeprefix("torch.") for value in concept.tensors.values()})
    facts: list[tuple[str, Any]] = [
        ("title", concept.title or "-"),
        ("kind", concept.kind),
        ("architecture", concept.architecture),
        ("parameters", f"{sum(value.numel() for value in concept.tensors.values()) / 1e6:.1f} M"),
        ("stored as", ", ".join(stored)),
        ("null-text layers", len(constants)),
        ("prediction type", concept.prediction_type),
        ("zero terminal SNR", "yes" if concept.zero_terminal_snr else "no"),
        ("latent format", concept.latents),
        ("base", concept.base or "-"),
        ("training", json.dumps(dict(concept.training), sort_keys=True) if concept.training else "-"),
    ]
    if concept.time_ids is not None:
        facts.append(("size ids", concept.time_ids.flatten().tolist()))
    return facts + [("assumed", assumption) for assumption in concept.assumptions]
