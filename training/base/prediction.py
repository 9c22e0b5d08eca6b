"""Decide a base's prediction type and noise schedule from the user's settings, its files, or its weights."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from gcfg_core.concept.families import guess_prediction_type
from gcfg_core.errors import InputError

from .noise_schedule import NoiseSchedule, noise_schedule

FOREIGN = ("EDM", "FlowMatch")  # schedulers without a discrete DDPM noise schedule


@dataclass(frozen=True)
class ReadOptions:
    """The user's settings about a base; None if not given.

    Attributes:
        prediction_type: "epsilon" or "v_prediction".
        zero_terminal_snr: True if the noise schedule was rescaled to zero terminal SNR.
        tokenizer: folder of tokenizer files.
        vae: file or folder of a VAE to use instead of the base's own.
        variant: weights to read if there are several: for a folder the middle part of the file names, for example fp16
            or non_ema; for a single file ema or non_ema.
    """

    prediction_type: str | None = None
    zero_terminal_snr: bool | None = None
    tokenizer: str | None = None
    vae: str | None = None
    variant: str | None = None


@dataclass(frozen=True)
class StatedSchedule:
    """Facts about the noise schedule in the base's own files.

    Attributes:
        scheduler: diffusers' scheduler configuration, or {}.
        prediction_type, zero_terminal_snr: None if not stated.
    """

    scheduler: Mapping[str, Any] = field(default_factory=dict)
    prediction_type: str | None = None
    zero_terminal_snr: bool | None = None


def stated_by_scheduler(config: Mapping[str, Any], name: str) -> StatedSchedule:
    """Return the facts in a diffusers scheduler configuration.

    Raises:
        InputError: it is not a DDPM noise schedule.
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
    """Return the base's noise schedule. The user's settings take precedence over the files, and these over a guess.

    Args:
        options: the user's settings.
        stated: facts in the files.
        config: the UNet's configuration.
        tensors: the UNet's, in diffusers' names, for the guess.

    Raises:
        InputError: the prediction type or noise schedule is not supported.
    """
    prediction = options.prediction_type or stated.prediction_type or guess_prediction_type(config, tensors)
    zero = stated.zero_terminal_snr if options.zero_terminal_snr is None else options.zero_terminal_snr
    if zero and prediction == "epsilon":
        raise InputError("zero terminal SNR", "v_prediction", "epsilon", "At zero SNR eps says nothing about x_0: give "
                         "--prediction-type v_prediction or --no-zero-terminal-snr, whichever is true.")  # fmt: skip
    return noise_schedule(stated.scheduler, prediction, bool(zero))
