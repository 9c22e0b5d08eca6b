"""The settings and models that `sample` and `evaluate` share."""

import sys
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, PositiveInt

from gcfg_core.errors import InputError

from ..base.model import Base
from ..base.read import OPTIONS, read_base
from ..base.world import is_world
from ..console.output import print_notes
from ..console.program import PROGRAM
from ..device import DEVICE_HELP, DTYPES, chosen_device
from ..sample.concept_model import concept_denoiser
from ..sample.denoiser import base_denoiser
from ..sample.fit import other_base
from ..sample.sampler import Sampler
from ..sample.scene import Sampling, Scene, fitting_side, make_scene
from ..sample.source import Source, load_source
from ..sample.words import unknown_words

Seed = Annotated[int, Field(ge=0, lt=2**63)]


class SceneConfig(BaseModel, extra="forbid", frozen=True):
    """The models to sample and how."""

    base: str | None = Field(None, description="the base model; default: the run's")
    prompt: str | None = Field(None, description="prompt; default: no prompt and no control term")
    negative: str | None = Field(None, description="negative prompt; default: the empty prompt")
    steps: PositiveInt = Field(25, description="sampling steps")
    sampler: Sampler = Field("dpm++", description="dpm++: DPM-Solver++(2M), as in the paper; ddim: deterministic DDIM")
    seed: Seed = Field(0, description="seed; picture i of a seed has the same noise under all weights")
    size: PositiveInt | None = Field(None, description="width and height in pixels; default: as trained")
    batch: PositiveInt = Field(4, description="pictures sampled at once")
    average: str | None = Field(
        None, description="use this average of a run's latest checkpoint: ema-0.05 ..., or weights for the last weights"
    )
    precision: Literal["fp32", "fp16", "bf16"] = Field("fp32", description="precision of the networks")
    device: str = Field("auto", description=DEVICE_HELP)
    tokenizer: str | None = Field(None, description="tokenizer folder, if the base has none")
    prediction_type: Literal["epsilon", "v_prediction"] | None = Field(
        None, description="what the base predicts, if its files do not say"
    )
    zero_terminal_snr: bool | None = Field(None, description="the base's noise schedule has zero terminal SNR")
    vae: str | None = Field(None, description="file or folder of a VAE to use instead of the base's own")
    variant: str | None = Field(
        None, description="weights to read if there are several: fp16, non_ema ... of a folder; ema of a file"
    )


def open_scene(source: Source, config: SceneConfig) -> tuple[Scene, Sampling, str]:
    """Return the scene with both models in place, the sampling settings, and where the concept was read from.

    A model that reads text is sampled alone, under its own prompt.

    Raises:
        InputError, ConceptFileError: an input cannot be used.
    """
    device = chosen_device(config.device)
    base = read_scene_base(source, config)
    print_notes(base.notes)
    unknown = unknown_words(base, config.prompt, config.negative)
    if unknown:
        words, place = ", ".join(map(repr, unknown)), _base_path(source, config)
        warning = f"warning: the world does not know {words}; `{PROGRAM} inspect {place}` shows the words it knows"
        print(warning, file=sys.stderr)
    concept, name = load_source(source, base, config.average)
    size = config.size or fitting_side(base, _trained_size(base, concept.training.get("resolution"), source))
    sampling = Sampling(config.seed, config.steps, config.sampler, size, config.batch)
    dtype = DTYPES[config.precision]
    trained = concept_denoiser(concept, base).to(device, dtype)
    base.codec.to(device)
    if not concept.null_text:
        if "w_concept" in config.model_fields_set:
            raise InputError(
                "w_concept", "no weight for a model that reads text", "a weight", "Weight its prompt with --w-control."
            )
        return make_scene(base, trained, None, config.prompt, config.negative), sampling, name
    other = other_base(concept.base, base, name)
    if other is not None:
        print(f"warning: {other}", file=sys.stderr)
    beside = base_denoiser(base).to(device, dtype)
    return make_scene(base, beside, trained, config.prompt, config.negative), sampling, name


def read_scene_base(source: Source, config: Any) -> Base:
    """Read the given base, or else the run's own.

    Args:
        config: settings with ``base`` and any of `OPTIONS`.

    Raises:
        InputError: no base is given, or it cannot be read.
    """
    path = _base_path(source, config)
    if path is None:
        raise InputError("base", "the base model of this concept", "none", "Give --base.")
    if path == source.world:
        for key in ("base", *OPTIONS):
            if getattr(config, key, None) is not None:
                flag = f"--{key.replace('_', '-')}"
                raise InputError(
                    flag, f"no value for {source.path}, which contains a world", "a value", "Leave it out."
                )
        return read_base(path)
    of_run = source.config.get("model", {})
    options = {}
    for key in OPTIONS:
        given = getattr(config, key, None)
        options[key] = of_run.get(key) if given is None and not is_world(path) else given
    return read_base(path, **options)


def _base_path(source: Source, config: Any) -> str | None:
    return source.world or config.base or source.base  # a world is complete


def _trained_size(base: Base, resolution: object, source: Source) -> int:
    """Return the side in pixels: of the concept's training, of the run, or the base's own."""
    given = resolution or source.config.get("data", {}).get("resolution")
    if isinstance(given, list):
        given = max(given, default=None)
    if isinstance(given, int | float) and given > 0:
        return int(given)
    side = base.config.get("sample_size") or 64
    return int(side if isinstance(side, int) else side[0]) * base.codec.factor
