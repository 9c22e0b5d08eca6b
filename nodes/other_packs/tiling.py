"""Checks for Tiled Diffusion (another pack), which acts on the ControlNets of a whole sampling run, whatever their
model."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

from ...gcfg_core.guidance.formula import prediction_names
from ...gcfg_core.guidance.plan import Plan, Prediction
from .roles import prediction_roles

_OPTION = "tiled_diffusion"
_WRAPPER = "model_function_wrapper"
_MAKES_EVERY_HINT = "SpotDiffusion"
"""The only method of Tiled Diffusion that shifts, and so cuts, each ControlNet's own hint at every call."""


def check_tiling(plan: Plan, names: Sequence[str]) -> None:
    """Refuse a graph in which Tiled Diffusion would confuse ControlNets with each other.

    Args:
        names: those of the plan's models.

    Raises:
        ValueError: only some of its models are tiled while a condition has a ControlNet, or one tiled model would use
            another prompt's hint; the message names the models.
    """
    tiled = [name for name, model in zip(names, plan.models, strict=True) if _OPTION in model.model_options]
    whole = [name for name in names if name not in tiled]
    if tiled and whole and any(map(_controls, plan.predictions)):
        raise ValueError(
            f"Tiled Diffusion is on {', '.join(tiled)}, not on {', '.join(whole)}, and a condition has a ControlNet. "
            "It takes over the ControlNets of all models in a sampling run: put it on every model, or on none."
        )
    if (sharing := next(_sharing_a_hint(plan), None)) is not None:
        first, second = (prediction_names(plan)[j] for j in sharing)
        models = dict.fromkeys(names[plan.predictions[j].model] for j in sharing)
        raise ValueError(
            f"Tiled Diffusion on {' and '.join(models)} would give {first} and {second} the picture of one ControlNet, "
            "though each has its own. Let both prompts have one ControlNet, choose the method "
            f"{_MAKES_EVERY_HINT}, or give the second prompt a model with a Tiled Diffusion node of its own."
        )


def _sharing_a_hint(plan: Plan) -> Iterator[tuple[int, int]]:
    """Yield pairs of predictions whose ControlNets one tiling would confuse, because their roles are equal."""
    roles = prediction_roles(plan)
    controlled = [j for j, prediction in enumerate(plan.predictions) if _controls(prediction)]
    for first, second in itertools.combinations(controlled, 2):
        tilings = [_tiling(plan.models[plan.predictions[j].model]) for j in (first, second)]
        is_shared = tilings[0] is not None and tilings[0] is tilings[1] and roles[first] == roles[second]
        if is_shared and _controls(plan.predictions[first]) != _controls(plan.predictions[second]):
            yield first, second


def _tiling(model: Any) -> Any:
    """Return the object that cuts the model's inputs and keeps ControlNet hints by shape and role; None without
    tiling."""
    wrapper = model.model_options.get(_WRAPPER) if _OPTION in model.model_options else None
    return None if type(wrapper).__name__ == _MAKES_EVERY_HINT else wrapper


def _controls(prediction: Prediction) -> list[int]:
    return [id(entry[1]["control"]) for entry in prediction.condition if "control" in entry[1]]
