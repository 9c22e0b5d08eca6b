"""`python -m training sample`: a grid of a concept alone, its base, and both mixed at several weights."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from pydantic import BaseModel, Field, PositiveInt

from gcfg_core.input_error import InputError

from ..base.model import Base
from ..base.read import read_base
from ..data.outside import refuse_inside
from ..sample.concept_model import concept_denoiser
from ..sample.denoiser import base_denoiser
from ..sample.fit import other_base
from ..sample.sampler import Sampler
from ..sample.scene import Drawing, Scene, make_scene
from ..sample.source import Source, load_source, open_source
from ..sample.weight_grid import PAPER_WEIGHTS, weight_grid
from ..setting_flags import parse_settings

PROG = "python -m training sample"
ABOUT = "Draw a concept alone, its base model, and both mixed at several weights, all from the same noise."
PRECISIONS = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


class SceneConfig(BaseModel, extra="forbid", frozen=True):
    """What is drawn and how; shared by `sample` and `evaluate`."""

    base: str | None = Field(None, description="the base model; a run folder's own without it")
    prompt: str | None = Field(None, description="what to draw; without it there is no control guidance")
    negative: str | None = Field(None, description="what not to draw, in place of the empty prompt")
    steps: PositiveInt = Field(25, description="sampling steps")
    sampler: Sampler = Field("dpm++", description="dpm++: DPM-Solver++(2M), as in the paper; ddim: deterministic DDIM")
    seed: int = Field(0, description="picture i of a seed has the same noise under all weights")
    size: PositiveInt | None = Field(None, description="width and height in pixels; as it was trained without it")
    batch: PositiveInt = Field(4, description="pictures drawn at once")
    average: str | None = Field(None, description="a run's latest checkpoint with this average: ema-0.05, weights ...")
    precision: Literal["fp32", "fp16", "bf16"] = Field("fp32", description="of the networks")
    device: Literal["auto", "cpu"] = Field("auto", description="auto: a GPU where there is one")
    tokenizer: str | None = Field(None, description="folder of the tokenizer, if the base has none")
    prediction_type: Literal["epsilon", "v_prediction"] | None = Field(None, description="if the base does not say it")
    zero_terminal_snr: bool | None = Field(None, description="the base's noise schedule has zero terminal SNR")


class SampleConfig(SceneConfig, frozen=True):
    """Every setting of the command."""

    source: str = Field(description="a concept file, or the folder of a run")
    w_concept: tuple[float, ...] = Field(PAPER_WEIGHTS, description="weights of the concept, a row each")
    w_control: tuple[float, ...] = Field(PAPER_WEIGHTS, description="weights of the prompt, a column each")
    pictures: PositiveInt = Field(1, description="pictures in each cell")
    output: str = Field("grid.png", description="the picture to write")


def parse(arguments: Sequence[str]) -> SampleConfig:
    """Settings of a command line; --help ends the program.

    Raises:
        InputError: the first thing that is wrong, unknown or missing.
    """
    return parse_settings(SampleConfig, PROG, ABOUT, arguments, positional=["source"])


def run(config: SampleConfig) -> str:
    """Draw the grid and write it.

    Returns:
        What was written, for people.

    Raises:
        InputError, ConceptFileError: something given cannot be used.
    """
    output = Path(config.output)
    if output.suffix.lower() not in (".png", ".jpg", ".jpeg", ".webp") or not output.parent.is_dir():
        raise InputError("output", "a .png, .jpg or .webp in a folder that exists", config.output, "Correct the path.")
    if not config.w_concept or not config.w_control:
        raise InputError("weights", "at least one of each", "none", "Give --w-concept 2.5 --w-control 2.5.")
    source = open_source(config.source)
    refuse_inside(output, [source.images])
    scene, how, told = open_scene(source, config)
    title = f"{told}: {config.prompt or 'no prompt'}, seed {config.seed}, {config.steps} steps"
    grid = weight_grid(scene, how, config.w_concept, config.w_control, config.pictures, title, _progress)
    grid.save(output)
    return f"{output}: {told}, {grid.width} x {grid.height} pixels"


def open_scene(source: Source, config: SceneConfig) -> tuple[Scene, Drawing, str]:
    """Both models in place, how to draw, and what the concept was read from.

    Raises:
        InputError, ConceptFileError: something given cannot be used.
    """
    path = config.base or source.base
    if path is None:
        raise InputError("base", "the base model of this concept", "none", "Give --base.")
    told = source.config.get("model", {})
    options = {
        key: told.get(key) if getattr(config, key) is None else getattr(config, key)
        for key in ("prediction_type", "zero_terminal_snr", "tokenizer")
    }
    base = read_base(path, **options)
    concept, name = load_source(source, base, config.average)
    other = other_base(concept.base, base, name)
    if other is not None:
        print(f"warning: {other}", file=sys.stderr)
    size = config.size or _trained_size(base, concept.training.get("resolution"), source)
    how = Drawing(config.seed, config.steps, config.sampler, size, config.batch)
    device = "cuda" if config.device == "auto" and torch.cuda.is_available() else "cpu"
    dtype = PRECISIONS[config.precision]
    models = base_denoiser(base).to(device, dtype), concept_denoiser(concept, base).to(device, dtype)
    base.codec.to(device)
    return make_scene(base, *models, config.prompt, config.negative), how, name


def _trained_size(base: Base, resolution: object, source: Source) -> int:
    """Pixels along a side: the training's, the run's, or the base's own."""
    given = resolution or source.config.get("data", {}).get("resolution")
    if isinstance(given, list):
        given = max(given, default=None)
    if isinstance(given, int | float) and given > 0:
        return int(given)
    side = base.config.get("sample_size") or 64
    return int(side if isinstance(side, int) else side[0]) * base.codec.factor


def _progress(done: int, cells: int) -> None:
    print(f"\rcell {done} of {cells}", end="\n" if done == cells else "", file=sys.stderr, flush=True)
