"""Which models may share one latent: same latent format, and eps/v/EDM with flow only through a change of time."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import comfy.model_sampling

from .inputs import input_of

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher

    from ...gcfg_core.guidance.plan import Plan


def is_flow(patcher: ModelPatcher) -> bool:
    """True for models whose latent is (1 - s) * x0 + s * noise; all others are variance exploding in ComfyUI."""
    return isinstance(patcher.get_model_object("model_sampling"), comfy.model_sampling.CONST)


def largest_sigma(patcher: ModelPatcher) -> float:
    return float(patcher.get_model_object("model_sampling").sigma_max)


def stays_within(base: ModelPatcher, other: ModelPatcher) -> bool:
    """True if sampling the base never evaluates the other model beyond its own largest sigma."""
    return is_flow(other) or (not is_flow(base) and largest_sigma(base) <= largest_sigma(other) * (1.0 + 1e-4))


def describe(patcher: ModelPatcher) -> str:
    format_ = patcher.get_model_object("latent_format")
    of_vae = f" of the VAE {format_.vae[:8]}" if getattr(format_, "vae", "") else ""
    return f"{type(patcher.model).__name__} (latent format {type(format_).__name__}{of_vae})"


def check_latent_spaces(plan: Plan) -> None:
    """Refuse models that are not in the base model's latent space.

    Raises:
        ValueError: names the term, its input, both models, and the remedy.
    """
    base = plan.models[0]
    for index, model in enumerate(plan.models):
        if not _is_same_format(base, model):
            raise ValueError(
                f"{input_of(plan, index)}: {describe(model)} does not share its latents with the base model "
                f"{describe(base)} of the GCFG node's input 'model'. Models can only be mixed within one latent space, "
                "such as SD1.5 with SD1.5 or SDXL with SDXL: connect a model of the base's family."
            )


def _is_same_format(first: ModelPatcher, second: ModelPatcher) -> bool:
    a, b = first.get_model_object("latent_format"), second.get_model_object("latent_format")
    keys = ("scale_factor", "shift_factor", "latent_channels", "latent_dimensions")
    vaes = {getattr(format_, "vae", "") for format_ in (a, b)} - {""}  # small worlds name theirs
    same = all(getattr(a, key, None) == getattr(b, key, None) for key in keys)
    return type(a) is type(b) and same and len(vaes) < 2


def log_schedule_notes(plan: Plan, names: tuple[str, ...]) -> None:
    """Log what a user should know when models of different noise schedules are mixed."""
    base = plan.models[0]
    for name, model in list(zip(names, plan.models, strict=True))[1:]:
        if is_flow(model) != is_flow(base):
            logging.info(
                "GCFG: %s is evaluated at the %s time that matches sigma", name, "flow" if is_flow(model) else "VE"
            )
        if not stays_within(base, model):
            logging.info(
                "GCFG: sampling starts above the noise that %s was trained on; there it is asked at its own largest "
                "sigma, %.4g", name, largest_sigma(model),
            )  # fmt: skip
