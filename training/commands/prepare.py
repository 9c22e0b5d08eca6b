"""`python -m training prepare`: measure a base, and write a null-text file and the measurements."""

from collections.abc import Sequence

import torch
from torch import Tensor

from gcfg_core.concept.concept import Concept
from gcfg_core.concept.concept_file import write_concept

from ..base.model import Base
from ..base.read import OPTIONS, read_base
from ..console.output import check_file, print_notes
from ..console.program import PROGRAM
from ..console.progress_bar import bar
from ..console.setting_flags import parse_settings
from ..data.outside import refuse_inside
from ..device import chosen_device
from ..durable import write_json
from ..export.concept import as_dtype
from ..prepare.calibrate import calibrate
from ..prepare.change import output_change
from ..prepare.config import PrepareConfig
from ..prepare.pictures import folder_latents, latent_side, noise_latents
from ..prepare.start import start_concept
from ..prepare.summary import PrepareSummary

PROG = f"{PROGRAM} prepare"
ABOUT = "Measure a base model's cross-attention, and write the null-text start, with the measurements beside it."


def parse(arguments: Sequence[str]) -> PrepareConfig:
    """Parse the command line; --help ends the program.

    Raises:
        InputError: the first wrong, unknown or missing argument.
    """
    return parse_settings(PrepareConfig, PROG, ABOUT, arguments, positional=["base", "output"], beside=True)


def run(config: PrepareConfig) -> str:
    """Measure a base, and write its null-text start and the measurements as JSON.

    Returns:
        The measurements as a table, and the paths of the files.

    Raises:
        InputError: the base, the pictures, the device or the output cannot be used.
        ConceptFileError, OSError, SafetensorError: writing failed.
    """
    check_file(config.output, (".safetensors",), config.overwrite)
    written = config.output.with_suffix(".report.json")
    check_file(written, (".json",), config.overwrite)
    refuse_inside(config.output, [config.images])
    device = chosen_device(config.device)
    base = read_base(config.base, **{key: getattr(config, key, None) for key in OPTIONS})
    print_notes(base.notes)
    latents = _latents(base, config, device)
    with bar("measuring null-text constants", "picture", iterable=latents) as shown:
        calibration = calibrate(base, shown, levels=config.levels, seed=config.seed, device=device)
    with bar("comparing with the base", "picture", iterable=latents) as shown:
        change = output_change(base, calibration, shown, device=device)
    side = int(latents[0].shape[-1])
    summary = PrepareSummary(base.name, base.sha256, config.images is not None, side, calibration, change)
    concept = start_concept(base, calibration, prepared=summary.without_layers(), title=config.title)
    stored = as_dtype(concept, config.dtype)
    assert isinstance(stored, Concept)
    write_concept(config.output, stored)
    write_json(written, summary.as_json())
    return (
        f"{summary.text()}\n\n{config.output}: null-text start, {concept.architecture}\n{written}: this table as JSON"
    )


def _latents(base: Base, config: PrepareConfig, device: torch.device) -> list[Tensor]:
    side = latent_side(base, config.resolution)
    if config.images is None:
        return noise_latents(base, side, config.count, config.seed)
    return folder_latents(
        base, config.images, side, config.count, config.seed, device, config.min_side, config.background
    )
