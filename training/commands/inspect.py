"""`python -m training inspect FILE`: show a concept file's facts and whether it can be used. Needs only torch."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gcfg_core.concept.concept import Concept
from gcfg_core.concept.concept_file import read_concept
from gcfg_core.concept.families import family_of
from gcfg_core.concept.kinds import KINDS
from gcfg_core.concept.lora_file import LORA_FORMAT, lora_format, read_lora_concept
from gcfg_core.concept.null_text import FEATURE
from gcfg_core.concept.world_latents import WORLD_FORMATS
from gcfg_core.errors import ConceptFileError
from gcfg_core.world.page import WORLD as PAGE
from gcfg_core.world.tokenizer import SPECIAL
from gcfg_core.world.world import read_world_files

from ..console.arguments import Arguments
from ..console.program import PROGRAM
from ..export.newest import newest_concept
from ..state.names import RECORD, WORLD
from .unet_config import CONFIG_HELP, read_config

WANTED = "a concept file or the folder of a run or of a world"
# A name in a folder, what the folder then is, and the remedy.
FOLDERS = (
    (
        RECORD,
        "a run that has not written a concept file yet",
        "Let it finish; `sample` can use its checkpoints.",
    ),
    ("unet", "a base model's folder", "Give it as --base; it contains no concept."),
)
PLAIN_LORA = "of ComfyUI's Load LoRA, diffusers' load_lora_weights and others, on a base that keeps reading its prompt"
OLD_LORA = "of no other program; `convert IN.safetensors OUT.safetensors` changes that"
ABOUT = "Show what a concept file is and what loads it; for a world also the words that it knows."


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the command line; --help ends the program.

    Raises:
        InputError: the first wrong, unknown or missing argument.
    """
    parser = Arguments(f"{PROGRAM} inspect", ABOUT)
    parser.add_argument(
        "file", help="a format 1 file, a UNet state dict in diffusers' names, or the folder of a run or a world"
    )
    parser.add_argument("--config", help=CONFIG_HELP)
    return parser.read(arguments)


def run(options: argparse.Namespace) -> str:
    """Return the facts, one per line.

    Raises:
        ConceptFileError: the file cannot be used, or the folder has no concept file.
    """
    world = world_in(Path(options.file))
    path = concept_in(Path(options.file)) if world is None else world
    if world is not None:
        facts = _world_facts(world)
    elif version := lora_format(path):
        lora = read_lora_concept(path)
        facts = _facts(lora.with_tensors({**lora.factors, **lora.features}, lora.kind))
        facts.insert(1, ("as a LoRA", PLAIN_LORA if version == LORA_FORMAT else OLD_LORA))
        facts[8:8] = [("rank, alpha", f"{lora.rank}, {lora.alpha:g}"), ("adapted layers", len(lora.layers))]
    else:
        concept = read_concept(path, read_config(options.config))
        facts = _facts(concept, bool(options.config and concept.assumptions))
    return "\n".join(f"{name:<18}{value}" for name, value in [("file", path), *facts])


def world_in(path: Path) -> Path | None:
    """Return a world's folder: this folder, that of the given world.json, or the result in a run's folder."""
    places = (path.parent if path.name == PAGE else path, path / WORLD)
    return next((place for place in places if (place / PAGE).is_file()), None)


def _world_facts(folder: Path) -> list[tuple[str, Any]]:
    try:
        world = read_world_files(folder)
    except ConceptFileError as error:
        raise ConceptFileError(f"{folder}: {error.name}", error.expected, error.got, error.remedy) from None
    words = world.text_encoder.tokenizer.words[len(SPECIAL) :]
    facts = dict(_facts(world.concept)) | {"loaded by": "Load Starter World; the trainer takes it as --base"}
    vae = f"{world.vae.channels} channels, sides 8 times smaller" if world.vae else "none: latents are pixels"
    return [
        *facts.items(),
        ("resolution", world.page.resolution),
        ("VAE", vae),
        ("words", f"{len(words)}: {' '.join(words)}"),
    ]


def concept_in(path: Path) -> Path:
    """Return the file itself, or the newest concept file in a run's folder.

    Raises:
        ConceptFileError: the folder is of another kind, or the run has no concept file yet.
    """
    if not path.is_dir():
        return path
    newest = newest_concept(path) if (path / RECORD).is_file() else None
    if newest is not None:
        return newest
    known = ((kind, remedy) for sign, kind, remedy in FOLDERS if (path / sign).exists())
    raise ConceptFileError(str(path), WANTED, *next(known, ("another folder", "Give a file in it.")))


def _loader(concept: Concept, config_given: bool) -> str:
    """Return the node that loads the file, and what else it needs."""
    if not KINDS[concept.kind].is_whole:
        return f"Load Concept Model, with its base model connected ({concept.base or 'not named in the file'})"
    if config_given:
        return "nothing yet: `convert` it with this --config, then Load Concept Model"
    if concept.assumptions and not concept.null_text:
        return "Load Concept Model, which leaves it to ComfyUI, or Load Diffusion Model"
    return "Load Concept Model"


def _family(concept: Concept) -> str:
    """Return the family, and the models to mix with. A small world's UNet resembles SD1.5's, on other latents."""
    if concept.latents in WORLD_FORMATS:
        return f"a small world's, {concept.latents} latents, to be mixed with that world, not with Stable Diffusion"
    return f"{family_of(concept.config).name}, to be mixed with models of {concept.latents} latents"


def _facts(concept: Concept, config_given: bool = False) -> list[tuple[str, Any]]:
    constants = [value for key, value in concept.tensors.items() if key.endswith(FEATURE)]
    stored = sorted({str(value.dtype).removeprefix("torch.") for value in concept.tensors.values()})
    facts: list[tuple[str, Any]] = [
        ("loaded by", _loader(concept, config_given)),
        ("family", _family(concept)),
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
    if concept.zero_terminal_snr and concept.prediction_type == "epsilon":
        facts.append(("beware", "zero terminal SNR needs v_prediction; `convert` corrects either"))
    if concept.time_ids is not None:
        facts.append(("size ids", concept.time_ids.flatten().tolist()))
    return facts + [("assumed", assumption) for assumption in concept.assumptions]
