"""A concept as a bare state dict, with what it takes to make a concept of it again."""

import shlex
from pathlib import Path

from gcfg_core.concept.concept import Concept
from gcfg_core.concept.families import family_of, layout_of
from gcfg_core.concept.tensor_file import write_state_dict
from gcfg_core.concept.unet_configs import infer_config
from gcfg_core.errors import ConceptFileError

from ..durable import write_json


def write_bare(output: str, concept: Concept, overwrite: bool) -> str:
    """Write the tensors of a concept alone, and beside them the UNet's configuration where they do not tell it.

    Returns:
        What was written, what is not in it, and the command that makes a concept of it again.

    Raises:
        ConceptFileError: the configuration's place is taken, or no such file can be written.
        OSError, SafetensorError: it could not be written.
    """
    config = None if _tells_itself(concept) else Path(output).with_suffix(".config.json")
    if config is not None and config.exists() and not overwrite:
        raise ConceptFileError(str(config), "a new file", "one that exists", "Give another name, or --overwrite.")
    write_state_dict(output, concept.tensors)
    lines = [f"{output}: the tensors of a {concept.kind}, {concept.architecture}, alone"]
    if config is not None:
        write_json(config, dict(concept.config))
        lines.append(f"{config}: the UNet's configuration, which the tensors do not tell")
    lines += [f"not in it: {one}" for one in _lost(concept)]
    return "\n".join([*lines, f"back: {_command(output, concept, config)}"])


def _tells_itself(concept: Concept) -> bool:
    """Whether the network can be known from the tensors' shapes."""
    try:
        inferred = infer_config({key: tuple(value.shape) for key, value in concept.tensors.items()})
    except ConceptFileError:
        return False
    return layout_of(inferred) == layout_of(concept.config)


def _lost(concept: Concept) -> list[str]:
    facts = {
        "SDXL's pooled text vector and size ids": bool(concept.constants),
        "v-prediction": concept.prediction_type != "epsilon",
        "zero terminal SNR": concept.zero_terminal_snr,
        "how it was trained": bool(concept.training),
    }
    return [name for name, is_lost in facts.items() if is_lost]


def _command(output: str, concept: Concept, config: Path | None) -> str:
    """The words that make a concept file of the bare one, with all that can be said about it."""
    words = ["python", "-m", "training", "convert", output, "CONCEPT.safetensors"]
    own = family_of(concept.config).latent_format
    values = {
        "--config": config and str(config),
        "--prediction-type": concept.prediction_type,
        "--latent-format": concept.latents if concept.latents != own else None,
        "--title": concept.title,
        "--base": concept.base,
    }
    words += [word for flag, value in values.items() if value for word in (flag, value)]
    return shlex.join([*words, *(["--zero-terminal-snr"] if concept.zero_terminal_snr else [])])
