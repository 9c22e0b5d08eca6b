"""`python -m training evaluate`: compare generated pictures with real pictures, and with the training images."""

from collections.abc import Sequence
from pathlib import Path

from pydantic import Field, FiniteFloat, PositiveInt, field_validator

from gcfg_core.errors import InputError
from gcfg_core.guidance.graph import PAPER_WEIGHT

from ..console.output import check_file, make_folder
from ..console.program import PROGRAM
from ..console.progress_bar import bar, on
from ..console.setting_flags import parse_settings
from ..data.config import BACKGROUND_HELP
from ..data.outside import refuse_inside
from ..data.transparency import WHITE, as_hex, colour_of, hex_colour
from ..device import chosen_device
from ..durable import write_json
from ..evaluate.evaluation import Evaluation, measured, table
from ..evaluate.features import Extractor, Features, extract, open_extractor
from ..evaluate.measure import GENERATED, MIRRORED, REAL, TRAIN
from ..evaluate.pictures import PictureFile, by_content, list_pictures
from ..sample.scene import Weights
from ..sample.source import Source, open_source
from .scene import SceneConfig, open_scene

PROG = f"{PROGRAM} evaluate"
ABOUT = "Measure generated pictures: FD, KID, precision and recall against real pictures; memorisation with --train."
RESULT, GENERATED_FOLDER = "evaluation.json", "generated"
# Settings that only --run uses.
SAMPLING_SETTINGS = {*SceneConfig.model_fields, "count", "w_concept", "w_control"} - {"seed", "device"}


class EvaluateConfig(SceneConfig, frozen=True):
    """The settings of `evaluate`."""

    real: str = Field(description="folder of real pictures, preferably not trained on")
    generated: str | None = Field(None, description="folder of generated pictures")
    run: str | None = Field(None, description="instead: a concept file or run folder to sample with")
    count: PositiveInt = Field(256, description="pictures to sample with --run; see --real-count for real pictures")
    real_count: PositiveInt | None = Field(None, description="maximal number of real pictures; default: all")
    w_concept: FiniteFloat = Field(1.0, description="weight of the concept; 1 without a prompt is the concept alone")
    w_control: FiniteFloat | None = Field(
        None, description=f"weight of the prompt; default with a prompt: {PAPER_WEIGHT}, as in the paper"
    )
    background: str | None = Field(None, description=f"{BACKGROUND_HELP}; default: the run's, or white")
    train: str | None = Field(None, description="folder of training images, to measure memorisation")
    features: str = Field("efficientnet", description="efficientnet (offline), inception, or a TorchScript file")
    feature_size: PositiveInt | None = Field(
        None, description="side of the feature network's input in pixels; default: its own"
    )
    output: str | None = Field(
        None, description="folder for evaluation.json and pictures; default: beside the evaluated pictures"
    )

    @field_validator("background")
    @classmethod
    def _known_colour(cls, value: str | None) -> str | None:
        return None if value is None else as_hex(value)


def parse(arguments: Sequence[str]) -> EvaluateConfig:
    """Parse the command line; --help ends the program.

    Raises:
        InputError: the first wrong, unknown or missing argument.
    """
    return parse_settings(EvaluateConfig, PROG, ABOUT, arguments)


def run(config: EvaluateConfig) -> str:
    """Evaluate, and write evaluation.json (and nearest.png) into the output folder.

    Returns:
        A table for people.

    Raises:
        InputError, ConceptFileError: an input cannot be used.
    """
    if (config.generated is None) == (config.run is None):
        raise InputError("pictures", "--generated DIR or --run RUN", "both or neither", "Give either.")
    refuse_unused(config)
    weights = sampling_weights(config)
    chosen_device(config.device)
    source = None if config.run is None else open_source(config.run)
    output = output_folder(config)
    refuse_inside(output, [config.real, config.train, config.generated, source and source.images])
    background = config.background or (source and source.background)
    colour = colour_of(background) if background else WHITE
    sets = {REAL: list_pictures(config.real, colour)[: config.real_count]}
    if config.train is not None:
        sets[TRAIN] = list_pictures(config.train, colour)
    extractor = open_extractor(config.features, config.feature_size)
    make_folder(output)
    check_file(output / RESULT, (".json",))
    drawn = None if source is None else sample_pictures(source, config, weights, output / GENERATED_FOLDER)
    sets[GENERATED] = drawn or list_pictures(config.generated or "", colour)
    evaluation = evaluate(sets, extractor, config)
    write_json(output / RESULT, evaluation.as_json())
    for name, picture in evaluation.pictures.items():
        picture.save(output / name)
    return f"{table(evaluation)}\n{output / RESULT}"


def refuse_unused(config: EvaluateConfig) -> None:
    """Raise InputError if a sampling setting is given for existing pictures."""
    unused = [key for key in EvaluateConfig.model_fields if key in SAMPLING_SETTINGS and key in config.model_fields_set]
    if config.generated is not None and unused:
        flag = f"--{unused[0].replace('_', '-')}"
        raise InputError(
            flag, "no sampling setting with --generated, whose pictures are all measured", "a value", "Leave it out."
        )


def output_folder(config: EvaluateConfig) -> Path:
    """Return the output folder: the given folder, or a folder beside the evaluated pictures, named after them."""
    if config.output is not None:
        return Path(config.output)
    place = Path(config.run or config.generated or "")
    place = place if place.name not in ("", "..") else place.resolve()
    return place.with_name(f"{place.stem if place.is_file() else place.name}-evaluation")


def sampling_weights(config: EvaluateConfig) -> Weights:
    """Return the weights to sample with.

    Raises:
        InputError: there is a weight without a prompt, or a prompt with weight 0.
    """
    if config.prompt is None and config.w_control:
        raise InputError("w_control", "0 without a prompt", f"{config.w_control:g}", "Give --prompt.")
    if config.prompt is not None and config.w_control == 0.0:
        raise InputError("w_control", "a weight that is not 0, for the prompt", "0", "Change it, or drop --prompt.")
    control = PAPER_WEIGHT if config.w_control is None else config.w_control
    return config.w_concept, 0.0 if config.prompt is None else control


def evaluate(sets: dict[str, tuple[PictureFile, ...]], extractor: Extractor, config: EvaluateConfig) -> Evaluation:
    """Extract the features of every set ("real", "generated", and "train" if given), and compute the measures."""

    def features(name: str, mirrored: bool = False) -> Features:
        about = f"features of {name}" + (", mirrored" if mirrored else "")
        with bar(about, "picture") as shown:
            device = chosen_device(config.device)
            return extract(sets[name], extractor, device=device, progress=on(shown), mirrored=mirrored)

    found = {name: features(name) for name in sets}
    if TRAIN in found:
        found[MIRRORED] = features(TRAIN, mirrored=True)
    background = hex_colour(sets[REAL][0].background)
    return measured(found, extractor, background, config.seed, config.model_dump(mode="json"))


def sample_pictures(source: Source, config: EvaluateConfig, weights: Weights, folder: Path) -> tuple[PictureFile, ...]:
    """Sample ``config.count`` pictures with a concept into a folder, replacing earlier pictures.

    Raises:
        InputError, ConceptFileError: an input cannot be used.
    """
    scene, sampling, _ = open_scene(source, config)
    make_folder(folder)
    for old in folder.glob("[0-9][0-9][0-9][0-9][0-9].png"):
        old.unlink()
    paths: list[Path] = []
    with bar("sampling", "picture", config.count) as shown:
        for first in range(0, config.count, sampling.batch):
            amount = min(sampling.batch, config.count - first)
            for picture in scene.pictures(weights, amount, sampling, first):
                paths.append(folder / f"{len(paths):05d}.png")
                picture.save(paths[-1])
            shown.update(amount)
    return by_content(paths, str(folder))
