"""Write a concept as a bare state dict, and the command that converts it back."""

import shlex
from pathlib import Path

from gcfg_core.concept.concept import Concept
from gcfg_core.concept.families import family_of, layout_of
from gcfg_core.concept.tensor_file import write_state_dict
from gcfg_core.concept.unet_configs import infer_config
from gcfg_core.errors import ConceptFileError

from ..durable import write_json


def write_bare(output: str, concept: Concept, overwrite: bool) -> str:
    """Write a concept's tensors alone, and the UNet's configuration beside them if tensor shapes do not show it.

    Returns:
        Lines for people: written files, lost facts, and the command that converts it back.

    Raises:
        ConceptFileError: the configuration file exists, or the output's format is unknown.
        OSError, SafetensorError: writing failed.
    """
    config = None if _shapes_show_config(concept) else Path(output).with_suffix(".config.json")
    if config is not None and config.exists() and not overwrite:
        raise ConceptFileError(str(config), "a new file", "an existing file", "Give another name, or --overwrite.")
    write_state_dict(output, concept.tensors)
    lines = [f"{output}: the tensors of a {concept.kind}, {concept.architecture}, alone"]
    if config is not None:
        write_json(config, dict(concept.config))
        lines.append(f"{config}: the UNet's configuration, which the tensors do not show")
    lines += [f"not in it: {fact}" for fact in _lost(concept)]
    return "\n".join([*lines, f"back: {_command(output, concept, config)}"])


def _shapes_show_config(concept: Concept) -> bool:
    """True if the tensors' shapes show the network's configuration."""
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
        "the VAE of its small world": bool(concept.vae),
        "how it was trained": bool(concept.training),
    }
    return [name for name, is_lost in facts.items() if is_lost]


def _command(output: str, concept: Concept, config: Path | None) -> str:
    """Return the command that converts the bare file back, with all known facts."""
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
