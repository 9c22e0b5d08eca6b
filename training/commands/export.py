"""`python -m training export RUN OUT --average NAME --step N`: write any average of any kept checkpoint as a concept
file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field, PositiveInt
from safetensors.torch import load_file

from gcfg_core.errors import InputError

from ..base.world_write import write_world
from ..console.output import check_file
from ..console.program import PROGRAM
from ..console.setting_flags import parse_settings
from ..data.outside import refuse_inside
from ..device import DTYPES
from ..export.concept import concept_path, export_run
from ..launch.result import concept_from, is_world, run_facts, title_of
from ..sample.source import Source, kept_average, open_source, run_constants
from ..settings.read import run_config
from ..state.best import best_kept
from ..state.checkpoint import step_of
from ..state.ema import WEIGHTS
from ..state.record import read_record
from .scene import read_scene_base

PROG = f"{PROGRAM} export"
ABOUT = (
    "Write weights of a run's kept checkpoint as a concept file: another average, an older step, the step that "
    "validated best, or any step of an unfinished run. The run is not changed."
)


class ExportConfig(BaseModel, extra="forbid", frozen=True):
    """The settings of `export`."""

    source: str = Field(description="the folder of a run")
    output: Path = Field(description="the .safetensors file to write; for a world, the folder")
    average: str | None = Field(
        None, description="for example ema-0.1, or weights for the last weights; default: the run's first average"
    )
    step: PositiveInt | None = Field(None, description="step of a kept checkpoint; default: the newest")
    best: bool = Field(False, description="use the kept checkpoint in which this average validated best")
    base: str | None = Field(None, description="the base model, if the run's base was moved")
    dtype: Literal["fp32", "fp16", "bf16"] | None = Field(
        None, description="precision of the weights; default: the run's"
    )
    overwrite: bool = Field(False, description="replace an existing output file")


def parse(arguments: Sequence[str]) -> ExportConfig:
    """Parse the command line; --help ends the program.

    Raises:
        InputError: the first wrong, unknown or missing argument.
    """
    return parse_settings(ExportConfig, PROG, ABOUT, arguments, positional=["source", "output"])


def run(options: ExportConfig) -> str:
    """Write the concept file, and its model card under the same name with .md.

    Returns:
        Lines about the written files.

    Raises:
        InputError, ConceptFileError: an input cannot be used.
        OSError, SafetensorError: a file cannot be read or written.
    """
    source = open_source(options.source)
    if not source.is_run:
        raise InputError(options.source, "the folder of a run", "something else", "`inspect` shows what it is.")
    record = read_record(source.path)
    config = run_config(record["config"])
    _refuse_the_runs_own(options.output, source)
    checkpoint, name = kept_average(source, options.average, _step(options, source))
    base = read_scene_base(source, options)
    world = is_world(config, base)
    output = _checked(options.output, world, options.overwrite)
    settings = record["settings"]
    pictures = int(record.get("images", 0)) - config.loop.held_out
    average, step = "" if name == WEIGHTS else name, step_of(checkpoint)
    facts = run_facts(config, step, average, pictures, settings.get("images", ""), settings.get("global_batch", 0))
    weights = load_file(checkpoint / f"{name}.safetensors")
    dtype = options.dtype or config.record.export_dtype
    written = f"{output}: {config.model.kind}, step {step}, {name}"
    if world:
        write_world(output, base, weights, title=title_of(config), training=facts.as_json(), dtype=DTYPES[dtype])
        return written
    concept = concept_from(config, base, weights, run_constants(source), facts)
    texts = config.record.model_dump(include={"description", "author"})
    beside = output.with_suffix(".md")
    _, card = export_run(
        output.parent, concept, facts, name=output.stem, dtype=dtype, license_line=config.record.license,
        card=beside.name, **texts,
    )  # fmt: skip
    return f"{written}\n{beside}: {'its model card' if card else 'not changed; it may describe another file'}"


def _step(options: ExportConfig, source: Source) -> int | None:
    """Return the requested step, None for the newest.

    Raises:
        InputError: --step and --best are both given, or no kept checkpoint was validated.
    """
    if not options.best:
        return options.step
    if options.step is not None:
        raise InputError("step", "--step N or --best", "both", "Give either.")
    average = options.average or source.first_average
    best = best_kept(source.path, average)
    if best is None:
        raise InputError("best", f"a kept checkpoint at whose step {average} was validated", "none",
                         "Give --step N; `train` validates with --held-out and --validate-every.")  # fmt: skip
    return best.step


def _refuse_the_runs_own(output: Path, source: Source) -> None:
    """Raise InputError if the output would lie among the run's pictures or in its folder."""
    refuse_inside(output, [source.images])
    if output.resolve().is_relative_to(source.path.resolve()):
        raise InputError("output", f"a place outside the run's folder {source.path}", str(output),
                         "The run owns that folder; give another path.")  # fmt: skip


def _checked(output: Path, world: bool, overwrite: bool) -> Path:
    """Return the path that will be written: a file, or a world's folder.

    Raises:
        InputError: it cannot be written, or exists.
    """
    if not world:
        check_file(output, (".safetensors",))
        output = concept_path(output.parent, output.stem)
        check_file(output, (".safetensors",), overwrite)
    elif output.exists() and not overwrite:
        raise InputError("output", "a new folder", f"{output}, which exists", "Give another name, or --overwrite.")
    return output
