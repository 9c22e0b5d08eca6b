"""Tiled Diffusion, another pack's, which acts on the ControlNets of a whole sampling run, whatever their model."""

from __future__ import annotations

from collections.abc import Sequence

from ...gcfg_core.guidance.plan import Plan

_OPTION = "tiled_diffusion"


def check_tiling(plan: Plan, names: Sequence[str]) -> None:
    """Refuse a graph that tiles some of its models only while a condition has a ControlNet.

    Args:
        names: those of the plan's models.

    Raises:
        ValueError: there is one; it names the models.
    """
    tiled = [name for name, model in zip(names, plan.models, strict=True) if _OPTION in model.model_options]
    whole = [name for name in names if name not in tiled]
    has_control = any("control" in entry[1] for prediction in plan.predictions for entry in prediction.condition)
    if tiled and whole and has_control:
        raise ValueError(
            f"Tiled Diffusion is on {', '.join(tiled)}, not on {', '.join(whole)}, and a condition has a ControlNet. "
            "It takes over the ControlNets of all models in a sampling run: put it on every model, or on none."
        )
