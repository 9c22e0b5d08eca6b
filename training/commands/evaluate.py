"""`python -m training evaluate`: generated pictures against real ones, and against the training images."""

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from pydantic import Field, PositiveInt

from gcfg_core.input_error import InputError

from ..data.outside import refuse_inside
from ..evaluate.features import Extractor, Features, extract, open_extractor
from ..evaluate.memorisation import memorisation, picture_of_pairs
from ..evaluate.metrics import Scores, score
from ..evaluate.pictures import PictureFile, by_content, list_pictures
from ..evaluate.report import Evaluation, table
from ..sample.source import Source, open_source
from ..setting_flags import parse_settings
from .sample import SceneConfig, open_scene

PROG = "python -m training evaluate"
ABOUT = "Measure generated pictures: FD, KID, precision and recall against real ones; memorisation with --train."
RESULT, PAIRS, GENERATED = "evaluation.json", "nearest.png", "generated"


class EvaluateConfig(SceneConfig, frozen=True):
    """Every setting of the command."""

    real: str = Field(description="folder of real pictures, best ones that were not trained on")
    generated: str | None = Field(None, description="folder of generated pictures")
    run: str | None = Field(None, description="instead: a concept file or run folder to draw pictures with")
    count: PositiveInt = Field(256, description="pictures to draw with --run")
    w_concept: float = Field(1.0, description="weight of the concept; 1 and no prompt is the concept alone")
    w_control: float = Field(0.0, description="weight of the prompt")
    train: str | None = Field(None, description="folder of training images: measures memorisation")
    features: str = Field("efficientnet", description="efficientnet (offline), inception, or a TorchScript file")
    feature_size: PositiveInt | None = Field(
        None, description="pixels of the features' input; the network's own without"
    )
    output: str = Field("evaluation", description="folder for evaluation.json and pictures")


def parse(arguments: Sequence[str]) -> EvaluateConfig:
    """Settings of a command line; --help ends the program.

    Raises:
        InputError: the first thing that is wrong, unknown or missing.
    """
    return parse_settings(EvaluateConfig, PROG, ABOUT, arguments)


def run(config: EvaluateConfig) -> str:
    """Measure, and write evaluation.json (and nearest.png) into the output folder.

    Returns:
        A table for people.

    Raises:
        InputError, ConceptFileError: something given cannot be used.
    """
    if (config.generated is None) == (config.run is None):
        raise InputError("pictures", "--generated DIR or --run RUN", "both or neither", "Give one of them.")
    source = None if config.run is None else open_source(config.run)
    refuse_inside(config.output, [config.real, config.train, config.generated, source and source.images])
    sets = {"real": list_pictures(config.real)}
    if config.train is not None:
        sets["train"] = list_pictures(config.train)
    extractor = open_extractor(config.features, config.feature_size)
    output = _folder(config.output)
    drawn = None if source is None else draw(source, config, output / GENERATED)
    sets["generated"] = drawn or list_pictures(config.generated or "")
    evaluation = evaluate(sets, extractor, config)
    text = json.dumps(evaluation.as_json(), indent=2) + "\n"
    (output / RESULT).write_text(text, encoding="utf-8")
    if evaluation.memorisation is not None:
        pairs = picture_of_pairs(evaluation.memorisation.pairs)
        if pairs is not None:
            pairs.save(output / PAIRS)
    return f"{table(evaluation)}\n{output / RESULT}"


def evaluate(sets: dict[str, tuple[PictureFile, ...]], extractor: Extractor, config: EvaluateConfig) -> Evaluation:
    """Features of every set ("real", "generated" and, where there is one, "train"), and everything measured on them."""
    device = "cuda" if config.device == "auto" and torch.cuda.is_available() else "cpu"
    found = {
        name: extract(files, extractor, device=device, progress=_counter(name)) for name, files in sets.items()
    }  # fmt: skip
    real, generated = found["real"], found["generated"]
    return Evaluation(
        features=str(extractor),
        scores=score(real.values, generated.values, config.seed),
        floor=_halves(real, config.seed),
        memorisation=memorisation(generated, found["train"], real) if "train" in found else None,
        rejected={name: len(features.rejected) for name, features in found.items()},
        settings=config.model_dump(mode="json"),
    )


def draw(source: Source, config: EvaluateConfig, folder: Path) -> tuple[PictureFile, ...]:
    """Draw ``config.count`` pictures with a concept into a folder.

    Raises:
        InputError, ConceptFileError: something given cannot be used.
    """
    if config.w_control and config.prompt is None:
        raise InputError("w_control", "0 without a prompt", f"{config.w_control:g}", "Give --prompt.")
    scene, how, _ = open_scene(source, config)
    folder.mkdir(exist_ok=True)
    told, paths = _counter("drawn"), []
    for first in range(0, config.count, how.batch):
        amount = min(how.batch, config.count - first)
        for picture in scene.pictures((config.w_concept, config.w_control), amount, how, first):
            paths.append(folder / f"{len(paths):05d}.png")
            picture.save(paths[-1])
        told(len(paths), config.count)
    return by_content(paths, str(folder))


def _halves(real: Features, seed: int) -> Scores | None:
    """One half of the real pictures against the other; None for fewer than four."""
    return score(real.values[0::2], real.values[1::2], seed) if len(real) >= 4 else None


def _folder(path: str) -> Path:
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError("output", "a folder that can be written", str(error), "Give another one.") from None
    return folder


def _counter(name: str) -> Callable[[int, int], None]:
    """Progress on stderr, on one line."""

    def show(done: int, total: int) -> None:
        if sys.stderr.isatty() or done == total:
            print(f"\r{name}: {done} of {total}", end="\n" if done == total else "", file=sys.stderr, flush=True)

    return show
