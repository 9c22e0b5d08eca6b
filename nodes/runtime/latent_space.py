"""Which models may share one latent: same latent format, and eps/v/EDM with flow only through a change of time."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import comfy.model_sampling

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher

    from ...gcfg_core.plan import Plan

FAR_BEYOND = 4.0
"""A base that starts at this many times another model's largest sigma asks it far outside what it was trained on."""


def is_flow(patcher: ModelPatcher) -> bool:
    """True for models whose latent is (1 - s) * x0 + s * noise; all others are variance exploding in ComfyUI."""
    return isinstance(patcher.get_model_object("model_sampling"), comfy.model_sampling.CONST)


def describe(patcher: ModelPatcher) -> str:
    format_ = patcher.get_model_object("latent_format")
    return f"{type(patcher.model).__name__} (latent format {type(format_).__name__})"


def check_latent_spaces(plan: Plan) -> None:
    """Refuse models that do not live in the base model's latent space.

    Raises:
        ValueError: names the term, its input, both models, and what to do.
    """
    base = plan.models[0]
    for i, (term, sides) in enumerate(zip(plan.terms, plan.sides, strict=True)):
        for name, side in zip(("model", "reference_model"), sides, strict=True):
            model = plan.models[plan.predictions[side].model]
            if not _is_same_format(base, model):
                raise ValueError(
                    f"Guidance Term {term.label or i + 1!r}, input '{name}': {describe(model)} does not share its "
                    f"latents with the base model {describe(base)} of the GCFG node's input 'model'. Models can only "
                    "be mixed within one latent space, such as SD1.5 with SD1.5 or SDXL with SDXL: connect a model of "
                    "the base's family."
                )


def _is_same_format(one: ModelPatcher, other: ModelPatcher) -> bool:
    a, b = one.get_model_object("latent_format"), other.get_model_object("latent_format")
    keys = ("scale_factor", "shift_factor", "latent_channels", "latent_dimensions")
    return type(a) is type(b) and all(getattr(a, key, None) == getattr(b, key, None) for key in keys)


def log_schedule_notes(plan: Plan, names: tuple[str, ...]) -> None:
    """Say what a user should know when models of different noise schedules are mixed."""
    base = plan.models[0]
    base_max = float(base.get_model_object("model_sampling").sigma_max)
    for name, model in list(zip(names, plan.models, strict=True))[1:]:
        if is_flow(model) != is_flow(base):
            logging.info(
                "GCFG: %s is evaluated at the %s time that matches sigma", name, "flow" if is_flow(model) else "VE"
            )
        elif base_max > FAR_BEYOND * float(model.get_model_object("model_sampling").sigma_max):
            logging.warning(
                "GCFG: sampling starts at sigma %.4g, far beyond what %s was trained on (%.4g); start its term's "
                "window later (start_percent) if the picture loses contrast.",
                base_max, name, float(model.get_model_object("model_sampling").sigma_max),
            )  # fmt: skip
