"""Functions in the place of ComfyUI's sampling function, and the models that come with them, like those of other packs.

AnimateDiff-Evolved (P1) prepares model options that its model needs, AutomaticCFG (P2) passes its cfg function more
than ComfyUI does, smZNodes (P7) composes weighted conditions and skips the negative.
"""

import math
from collections.abc import Callable
from typing import Any

import comfy.patcher_extension
import comfy.samplers
from torch import Tensor

from rigs.micro import micro_cond

C, D = micro_cond(1), micro_cond(2)
AND = [[C[0][0], {"weight": 1.0}], [D[0][0], {"weight": 0.7}]]
CORE = comfy.samplers.sampling_function


def preparing(
    model: Any, x: Tensor, timestep: Tensor, uncond: list, cond: list, cond_scale: float, model_options: dict,
    seed: int | None = None,
) -> Tensor:  # fmt: skip
    """P1: its own options for the batch, its own scale, no pre-cfg functions."""
    model_options["transformer_options"] = {**model_options["transformer_options"], "prepared": 0.5}
    outputs = comfy.samplers.calc_cond_batch(model, [cond, uncond], x, timestep, model_options)
    return comfy.samplers.cfg_function(model, *outputs, 2.0 * cond_scale, x, timestep, model_options, cond, uncond)


def naming(
    model: Any, x: Tensor, timestep: Tensor, uncond: list, cond: list, cond_scale: float, model_options: dict,
    seed: int | None = None,
) -> Tensor:  # fmt: skip
    """P2: its cfg function gets the conditions too."""
    outputs = comfy.samplers.calc_cond_batch(model, [cond, uncond], x, timestep, model_options)
    names = {"cond_denoised": outputs[0], "uncond_denoised": outputs[1], "cond_scale": cond_scale}
    result = x - model_options.get("sampler_cfg_function", lambda args: x - outputs[0])({**names, "cond_pos": cond})
    for function in model_options.get("sampler_post_cfg_function", []):
        result = function({"denoised": result, **names, "input": x, "sigma": timestep})
    return result


def composing(
    model: Any, x: Tensor, timestep: Tensor, uncond: list, cond: list, cond_scale: float, model_options: dict,
    seed: int | None = None,
) -> Tensor:  # fmt: skip
    """P7: base + w * mean of weighted differences; at high noise scale 1, so that the negative is skipped."""
    if timestep[0] > 5.0 and "skips" in model_options:
        cond_scale = 1.0
    if len(cond) == 1 or math.isclose(cond_scale, 1.0):
        return CORE(model, x, timestep, uncond, cond, cond_scale, model_options=model_options, seed=seed)
    *parts, base = comfy.samplers.calc_cond_batch(
        model, [*([part] for part in cond), uncond], x, timestep, model_options
    )
    differences = [part["weight"] * (one - base) for part, one in zip(cond, parts, strict=True)]
    return base + sum(differences[1:], differences[0]) * (cond_scale / len(parts))


def needing(model: Any) -> Any:
    """P1: a model that cannot be evaluated without the options that ``preparing`` adds."""
    model = model.clone()

    def scaled(apply_model: Callable, args: dict[str, Any]) -> Tensor:
        factor = args["c"]["transformer_options"]["prepared"]
        return factor * apply_model(args["input"], args["timestep"], **args["c"])

    model.set_model_unet_function_wrapper(scaled)
    return model


def installing(model: Any) -> Any:
    """P1: ``needing``, whose outer_sample wrapper puts ``preparing`` in place while it samples."""
    model = needing(model)
    model.steps = []

    def wrapper(executor: Any, *args: Any, **kwargs: Any) -> Tensor:
        previous, comfy.samplers.sampling_function = comfy.samplers.sampling_function, preparing
        own = list(args)
        own[5] = lambda step, *_: model.steps.append(step)
        try:
            return executor(*own, **kwargs)
        finally:
            comfy.samplers.sampling_function = previous

    model.add_wrapper_with_key(comfy.patcher_extension.WrappersMP.OUTER_SAMPLE, "installing", wrapper)
    return model


def reading(model: Any) -> Any:
    """P2: a cfg function that reads arguments only ``naming`` passes, and a post-cfg function."""
    model = model.clone()
    model.set_model_sampler_cfg_function(
        lambda args: (
            -args["uncond_denoised"]
            - len(args["cond_pos"]) * 0.5 * args["cond_scale"] * (args["cond_denoised"] - args["uncond_denoised"])
        )
    )
    model.set_model_sampler_post_cfg_function(lambda args: 0.9 * args["denoised"])
    return model


def skipping(model: Any) -> Any:
    model = model.clone()
    model.model_options["skips"] = True
    return model


KINDS: dict[str, tuple[Callable | None, Callable[[Any], Any], list]] = {
    "P1 prepares": (preparing, needing, C),
    "P1 while it samples": (None, installing, C),
    "P2 passes more": (naming, reading, C),
    "P7 composes": (composing, lambda model: model, AND),
    "P7 skips": (composing, skipping, C),
}
