"""The averages that the settings select."""

from ..settings.config import EmaConfig
from .ema import Profile, power_profile

WEIGHTS = "weights"  # in place of an average's name: the last weights


def profiles(config: EmaConfig) -> list[Profile]:
    """Return a profile for each average; a run exports the first.

    Raises:
        InputError: no profile has this relative width.
    """
    if config.ema == "none":
        return []
    if config.ema == "constant":
        return [Profile("ema", decay=config.ema_decay, warmup=config.ema_warmup)]
    return [power_profile(sigma_rel) for sigma_rel in dict.fromkeys(config.sigma_rels)]


def first_average(config: EmaConfig) -> str:
    """Return the name of the average that a run exports."""
    kept = profiles(config)
    return kept[0].name if kept else WEIGHTS
