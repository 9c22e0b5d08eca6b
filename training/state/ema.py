"""Moving averages of the trained weights, in float32.

Power function (EDM2, arXiv 2312.02696, Eq. 1 to 5):   avg_t = beta_t * avg_{t-1} + (1 - beta_t) * w_t
                                                     beta_t = (1 - 1/t)^(gamma + 1)
gamma follows from sigma_rel, the profile's width relative to the run's length. Constant decay with a warm-up:
beta_t = min(decay, (1 + t) / (warmup + t)).
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule

from gcfg_core.errors import InputError

from ..settings.config import EmaConfig

WIDEST = 1.0 / 12.0**0.5  # sigma_rel of gamma 0, the uniform average
WEIGHTS = "weights"  # the last weights themselves, where the name of an average may stand


@dataclass(frozen=True)
class Profile:
    """The decay of an average.

    Attributes:
        name: of its tensor file: "ema-0.05" for sigma_rel 0.05, "ema" for a constant decay.
        gamma: exponent of the power function; None for a constant decay.
        decay, warmup: of the constant decay.
    """

    name: str
    gamma: float | None = None
    decay: float = 0.9999
    warmup: int = 10

    def beta(self, t: int) -> float:
        """Return the weight of the old average at step t (from 1); the first step copies the weights."""
        if self.gamma is not None:
            return (1.0 - 1.0 / t) ** (self.gamma + 1.0)
        return 0.0 if t == 1 else min(self.decay, (1.0 + t) / (self.warmup + t))


def sigma_rel_of(gamma: float) -> float:
    """Return the relative width of a power function profile (EDM2, Algorithm 2): sqrt((g+1) / ((g+2)^2 (g+3)))."""
    return ((gamma + 1.0) / ((gamma + 2.0) ** 2 * (gamma + 3.0))) ** 0.5


def gamma_of(sigma_rel: float) -> float:
    """Return the exponent for a relative width: the largest root of (g+2)^2 (g+3) = (g+1) / sigma_rel^2.

    Raises:
        InputError: no power function with gamma >= 0 has this width.
    """
    if not 0.0 < sigma_rel < WIDEST:
        raise InputError(
            "sigma_rels", f"numbers between 0 and {WIDEST:.3f}", str(sigma_rel), "EDM2 keeps 0.05 and 0.1."
        )
    square = sigma_rel**-2
    cubic = np.array([1.0, 7.0, 16.0 - square, 12.0 - square])
    root = np.roots(cubic).real.max()
    return float(root - np.polyval(cubic, root) / np.polyval(np.polyder(cubic), root))  # the same on every machine


def power_profile(sigma_rel: float) -> Profile:
    """Return the power function profile of a relative width, named after it."""
    return Profile(f"ema-{sigma_rel:g}", gamma=gamma_of(sigma_rel))


def trainable(module: nn.Module) -> dict[str, nn.Parameter]:
    """Return the trained parameters by name."""
    return {name: value for name, value in module.named_parameters() if value.requires_grad}


def local(value: Any) -> Tensor:
    """Return this process's part of a parameter: all of it unless it is sharded (FSDP)."""
    data = value.detach()
    return data.to_local() if hasattr(data, "to_local") else data


def shard_again(module: nn.Module) -> None:
    """Drop full copies of sharded weights (FSDP) that a forward pass without backward left; they would hide later
    changes to the shards."""
    for part in module.modules():
        if isinstance(part, FSDPModule):
            part.reshard()


class Averages:
    """Moving averages of a module's trained parameters; under FSDP each process averages its shards.

    Args:
        module: the module, already on its device and wrapped.
        profiles: of each average; may be empty.
    """

    def __init__(self, module: nn.Module, profiles: Iterable[Profile]) -> None:
        self.profiles = tuple(profiles)
        self._module = module
        self._parameters = list(trainable(module).values())
        self._shadows = {profile.name: [w.float().clone() for w in self._weights] for profile in self.profiles}

    @property
    def _weights(self) -> list[Tensor]:
        return [local(value) for value in self._parameters]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._shadows)

    @torch.no_grad()
    def update(self, t: int) -> None:
        """Update every average with the weights after step t (from 1)."""
        weights = [w.float() for w in self._weights]
        for profile in self.profiles:
            torch._foreach_lerp_(self._shadows[profile.name], weights, 1.0 - profile.beta(t))

    @contextmanager
    def applied(self, name: str) -> Iterator[None]:
        """Put an average into the module while the block runs; afterwards restore the exact weights."""
        kept = [w.clone() for w in self._weights]
        self._put(self._shadows[name])
        try:
            yield
        finally:
            self._put(kept)

    @torch.no_grad()
    def take(self, name: str) -> None:
        """Set the average of this name to the module's present weights, to restore a checkpoint."""
        for shadow, weight in zip(self._shadows[name], self._weights, strict=True):
            shadow.copy_(weight)

    @torch.no_grad()
    def _put(self, values: list[Tensor]) -> None:
        shard_again(self._module)
        for weight, value in zip(self._weights, values, strict=True):
            weight.copy_(value)


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
