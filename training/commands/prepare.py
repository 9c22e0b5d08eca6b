"""`python -m training prepare`: a base in, a null-text file and a report out."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from gcfg_core.concept_file import Concept, write_concept
from gcfg_core.input_error import InputError

from ..base.model import Base
from ..base.read import read_base
from ..export.concept import as_dtype
from ..prepare.calibrate import calibrate
from ..prepare.change import output_change
from ..prepare.config import PrepareConfig
from ..prepare.pictures import folder_latents, latent_side, noise_latents
from ..prepare.report import PrepareReport, report_of
from ..prepare.start import start_concept
from ..progress import bar
from ..setting_flags import parse_settings

PROG = "python -m training prepare"
ABOUT = "Measure a base model's cross-attention, and write the null-text start that it makes and a report beside it."


def parse(arguments: Sequence[str]) -> PrepareConfig:
    """Settings of a command line; --help ends the program.

    Raises:
        InputError: the first thing that is wrong, unknown or missing.
    """
    return parse_settings(PrepareConfig, PROG, ABOUT, arguments)


def run(config: PrepareConfig) -> str:
    """Measure a base, and write its null-text start and a JSON report beside it.

    Returns:
        The report as text, and where the files are.

    Raises:
        InputError: the base, the pictures, the device or the output cannot be used.
        ConceptFileError, OSError, SafetensorError: the file could not be written.
    """
    check_output(config.output, config.overwrite)
    device = chosen_device(config.device)
    base = read_base(config.base, prediction_type=config.prediction_type, zero_terminal_snr=config.zero_terminal_snr)
    latents = _latents(base, config, device)
    with bar("measuring null-text constants", "picture", iterable=latents) as shown:
        calibration = calibrate(base, shown, levels=config.levels, seed=config.seed, device=device)
    with bar("comparing with the base", "picture", iterable=latents) as shown:
        change = output_change(base, calibration, shown, device=device)
    sizes = tuple(sorted({(int(x.shape[-2]), int(x.shape[-1])) for x in latents}))
    report = report_of(base, config.images is not None, sizes, calibration, change)
    concept = start_concept(base, calibration, prepared=report.summary(), title=config.title)
    stored = as_dtype(concept, config.dtype)
    assert isinstance(stored, Concept)
    write_concept(config.output, stored)
    written = write_report(config.output.with_suffix(".json"), report)
    return (
        f"{report.text()}\n\n{config.output}: null-text start, {concept.architecture}\n{written}: this report as JSON"
    )


def check_output(path: Path, overwrite: bool) -> None:
    """Raise InputError before any work is done, where the file could not be written at the end."""
    if path.suffix != ".safetensors":
        raise InputError(str(path), "a name that ends in .safetensors", path.suffix or "none", "Rename it.")
    if not path.parent.is_dir():
        raise InputError(str(path.parent), "a folder", "nothing there", "Make the folder first.")
    if path.exists() and not (overwrite and path.is_file()):
        raise InputError(str(path), "a new file", "one that exists", "Give another name, or --overwrite.")
    if not os.access(path.parent, os.W_OK):
        raise InputError(str(path.parent), "a folder to write into", "one that cannot be", "Give another folder.")


def chosen_device(name: str) -> torch.device:
    """The device of this name; a GPU, or else the CPU, for "auto".

    Raises:
        InputError: there is none of this name.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.zeros(1, device=name)
        return torch.device(name)
    except (RuntimeError, AssertionError, NotImplementedError):
        raise InputError("device", "a device of this machine", repr(name), "Use auto or cpu.") from None


def write_report(path: Path, report: PrepareReport) -> Path:
    """Write the report as JSON, whole or not at all."""
    partial = path.with_name(f".{path.name}.tmp")
    try:
        partial.write_text(json.dumps(report.as_json(), indent=2) + "\n", encoding="utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def _latents(base: Base, config: PrepareConfig, device: torch.device) -> list[Tensor]:
    side = latent_side(base, config.resolution)
    if config.images is None:
        return noise_latents(base, side, config.count, config.seed)
    return folder_latents(base, config.images, side, config.count, config.seed, device)
