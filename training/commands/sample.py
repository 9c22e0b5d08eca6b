"""`python -m training sample`: make a grid of a concept alone, its base, and both mixed at several weights."""

from collections.abc import Sequence
from pathlib import Path

from pydantic import Field, FiniteFloat, PositiveInt

from gcfg_core.errors import InputError
from gcfg_core.guidance.graph import PAPER_WEIGHT

from ..console.output import check_file
from ..console.program import PROGRAM
from ..console.progress_bar import bar, on
from ..console.setting_flags import parse_settings
from ..data.outside import refuse_inside
from ..sample.source import open_source
from ..sample.weight_grid import PAPER_WEIGHTS, weight_grid
from .scene import SceneConfig, open_scene

PROG = f"{PROGRAM} sample"
ABOUT = (
    "Sample a concept alone, its base model, and both mixed at several weights, all from the same noise; a model that "
    "reads text is sampled under its prompt at several weights."
)
PICTURES = (".png", ".jpg", ".jpeg", ".webp")


class SampleConfig(SceneConfig, frozen=True):
    """The settings of `sample`."""

    source: str = Field(description="a concept file, or the folder of a run or of a world")
    w_concept: tuple[FiniteFloat, ...] = Field(PAPER_WEIGHTS, description="weights of the concept, one per row")
    w_control: tuple[FiniteFloat, ...] = Field(PAPER_WEIGHTS, description="weights of the prompt, one per column")
    pictures: PositiveInt = Field(1, description="pictures per cell")
    output: str = Field("grid.png", description="the picture to write")


def parse(arguments: Sequence[str]) -> SampleConfig:
    """Parse the command line; --help ends the program.

    Raises:
        InputError: the first wrong, unknown or missing argument.
    """
    return parse_settings(SampleConfig, PROG, ABOUT, arguments, positional=["source"])


def run(config: SampleConfig) -> str:
    """Make the grid and write it.

    Returns:
        A line about the written file.

    Raises:
        InputError, ConceptFileError: an input cannot be used.
    """
    output = Path(config.output)
    check_file(output, PICTURES)
    if not config.w_concept or not config.w_control:
        raise InputError(
            "weights",
            "a weight for each",
            "none",
            f"Give --w-concept {PAPER_WEIGHT} --w-control {PAPER_WEIGHT}.",
        )
    if config.prompt is None and "w_control" in config.model_fields_set:
        raise InputError("w_control", "a prompt to weigh", "none", "Give --prompt, or leave the weights out.")
    source = open_source(config.source)
    refuse_inside(output, [source.images])
    scene, sampling, origin = open_scene(source, config)
    title = f"{origin}: {config.prompt or 'no prompt'}, seed {config.seed}, {config.steps} steps"
    with bar("sampling", "cell") as shown:
        grid = weight_grid(scene, sampling, config.w_concept, config.w_control, config.pictures, title, on(shown))
    grid.save(output)
    return f"{output}: {origin}, {grid.width} x {grid.height} pixels"
