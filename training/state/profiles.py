"""The averages that the settings ask for."""

from ..settings.config import EmaConfig
from .ema import Profile, power_profile

WEIGHTS = "weights"  # the last weights themselves, where the name of an average may stand


def profiles(config: EmaConfig) -> list[Profile]:
    """A profile for each average that is kept, the one to export first.

    Raises:
        InputError: a relative width that no profile has.
    """
    if config.ema == "none":
        return []
    if config.ema == "constant":
        return [Profile("ema", decay=config.ema_decay, warmup=config.ema_warmup)]
    return [power_profile(sigma_rel) for sigma_rel in dict.fromkeys(config.sigma_rels)]


def first_average(config: EmaConfig) -> str:
    """The average that a run exports."""
    kept = profiles(config)
    return kept[0].name if kept else WEIGHTS
