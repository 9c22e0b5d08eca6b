"""Count forwards of networks and the condition chunks in them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from comfy.model_patcher import ModelPatcher
from torch import nn


@dataclass
class Calls:
    """The forwards of one network, in order."""

    batches: list[list[int]] = field(default_factory=list)
    """`cond_or_uncond` of each forward: one number per chunk."""
    sigmas: list[float] = field(default_factory=list)
    """The sigma of each forward."""

    @property
    def forwards(self) -> int:
        return len(self.batches)

    @property
    def chunks(self) -> int:
        """Number of evaluations: condition chunks over all forwards."""
        return sum(len(batch) for batch in self.batches)


class Counter:
    """Calls of several models. Models that share one network share one count."""

    def __init__(self) -> None:
        self._calls: dict[int, Calls] = {}

    def of(self, patcher: ModelPatcher) -> Calls:
        """Return the calls of this model's network."""
        return self._calls[id(patcher.model.diffusion_model)]

    @property
    def forwards(self) -> int:
        return sum(calls.forwards for calls in self._calls.values())

    @property
    def chunks(self) -> int:
        return sum(calls.chunks for calls in self._calls.values())

    def reset(self) -> None:
        """Start again from zero."""
        for calls in self._calls.values():
            calls.batches.clear()
            calls.sigmas.clear()

    def watch(self, network: nn.Module) -> Any:
        calls = self._calls.setdefault(id(network), Calls())

        def note(module: nn.Module, args: tuple, kwargs: dict[str, Any]) -> None:
            options = kwargs.get("transformer_options") or {}
            calls.batches.append(list(options.get("cond_or_uncond", [])))
            sigmas = options.get("sigmas")
            calls.sigmas.append(float(sigmas.flatten()[0]) if sigmas is not None else float("nan"))

        return network.register_forward_pre_hook(note, with_kwargs=True)


@contextmanager
def count_forwards(*patchers: ModelPatcher) -> Iterator[Counter]:
    """Count the forwards of these models' networks. Results do not change.

    Forwards are counted at the network's entry, below everything that batches, wraps or patches.
    """
    counter = Counter()
    networks = {id(p.model.diffusion_model): p.model.diffusion_model for p in patchers}
    handles = [counter.watch(network) for network in networks.values()]
    try:
        yield counter
    finally:
        for handle in handles:
            handle.remove()
