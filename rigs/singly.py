"""Predictions made one by one, each at its own model's time, for comparison with a graph's predictions."""

from collections.abc import Callable
from typing import Any

import numpy as np
from torch import Tensor

from rigs.probe import denoised

Side = tuple[int, int]
"""Indices of a model and a condition."""


def is_flow(model: Any) -> bool:
    return not hasattr(model.get_model_object("model_sampling"), "log_sigmas")


def sigmas_of(model: Any, percents: list[float]) -> list[float]:
    """Return sigma at each percent: log-linear between a discrete noise schedule's steps, linear for flow of shift
    1."""
    if is_flow(model):
        return [1.0 - p for p in percents]
    steps, sampling = np.arange(1000), model.get_model_object("model_sampling")
    return np.exp(np.interp([(1 - p) * 999 for p in percents], steps, sampling.log_sigmas.double().numpy())).tolist()


def own_time(model: Any, x: Tensor, sigma: float, base_is_flow: bool) -> tuple[Tensor, float]:
    """Convert (x, sigma) from the base's time to this model's: flow models use the flow time that sigma corresponds to,
    others on a flow base the sigma that the time corresponds to, at most their own largest."""
    if is_flow(model) == base_is_flow:
        return x, sigma
    if is_flow(model):
        return x / (1 + sigma), sigma / (1 + sigma)
    x, sigma = x / (1 - sigma), sigma / (1 - sigma)
    largest = float(model.get_model_object("model_sampling").sigma_max)
    return (x * (largest / sigma), largest) if sigma > largest else (x, sigma)  # trained on no more noise


def predictions_at(
    models: list, conds: list, x: Tensor, sigma: float, base_is_flow: bool = False,
    pair: Callable[[Side], dict[str, Any]] = lambda side: {},
) -> Callable[[Side], Tensor]:  # fmt: skip
    """Return a function from a side to D(x; model, condition), evaluated separately.

    Args:
        pair: how a side's condition is processed together with another; see `rigs.probe.processed`.
    """
    known: dict[Side, Tensor] = {}

    def predict(side: Side) -> Tensor:
        if side not in known:
            model = models[side[0]]
            known[side] = denoised(model, conds[side[1]], *own_time(model, x, sigma, base_is_flow), **pair(side))
        return known[side]

    return predict
