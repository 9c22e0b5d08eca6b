"""What a base predicts and over which noise levels: told by the user, by its files, or guessed from its weights."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from gcfg_core.concept.families import guess_prediction_type
from gcfg_core.errors import InputError

from .noise_schedule import NoiseSchedule, noise_schedule

FOREIGN = ("EDM", "FlowMatch")  # schedulers whose noise levels are no discrete DDPM schedule


@dataclass(frozen=True)
class ReadOptions:
    """What the user said about a base; None where nothing.

    Attributes:
        prediction_type: "epsilon" or "v_prediction".
        zero_terminal_snr: whether the schedule was rescaled to zero terminal SNR.
        tokenizer: a folder of tokenizer files.
        vae: a file or folder whose VAE takes the place of the base's own.
        variant: of the weights where there are several: of a folder, the middle of its files' names, such as fp16 or
            non_ema; of a single file, ema or non_ema.
    """

    prediction_type: str | None = None
    zero_terminal_snr: bool | None = None
    tokenizer: str | None = None
    vae: str | None = None
    variant: str | None = None


@dataclass(frozen=True)
class StatedSchedule:
    """What the base's own files say.

    Attributes:
        scheduler: diffusers' scheduler configuration, empty where there is none.
        prediction_type, zero_terminal_snr: None where nothing is said.
    """

    scheduler: Mapping[str, Any] = field(default_factory=dict)
    prediction_type: str | None = None
    zero_terminal_snr: bool | None = None


def stated_by_scheduler(config: Mapping[str, Any], name: str) -> StatedSchedule:
    """What a diffusers scheduler configuration says.

    Raises:
        InputError: noise levels that are no DDPM schedule.
    """
    kind = str(config.get("_class_name", ""))
    if kind.startswith(FOREIGN):
        raise InputError(f"{name}: scheduler", "a DDPM schedule", kind, "Bases of that kind are not supported.")
    if config.get("trained_betas") is not None:
        raise InputError(f"{name}: scheduler", "a named beta_schedule", "trained_betas", "It is not supported.")
    return StatedSchedule(config, config.get("prediction_type"), config.get("rescale_betas_zero_snr"))


def decide_schedule(
    options: ReadOptions, stated: StatedSchedule, config: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> NoiseSchedule:
    """The base's schedule: the user's word goes before the files', and theirs before a guess.

    Args:
        options: the user's word.
        told: the files'.
        config: of the UNet.
        tensors: of the UNet in diffusers' names, for the guess.

    Raises:
        InputError: a prediction type or a schedule that is not supported.
    """
    prediction = options.prediction_type or stated.prediction_type or guess_prediction_type(config, tensors)
    zero = stated.zero_terminal_snr if options.zero_terminal_snr is None else options.zero_terminal_snr
    if zero and prediction == "epsilon":
        raise InputError("zero terminal SNR", "v_prediction", "epsilon", "At zero SNR eps says nothing about x_0: give "
                         "--prediction-type v_prediction or --no-zero-terminal-snr, whichever is true.")  # fmt: skip
    return noise_schedule(stated.scheduler, prediction, bool(zero))
