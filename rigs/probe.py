"""Ask a guider, or one model under one condition, for its denoised prediction at chosen (x, sigma), or for a run."""

from collections.abc import Callable, Sequence
from typing import Any

import comfy.model_management
import comfy.model_patcher
import comfy.sample
import comfy.sampler_helpers
import comfy.samplers
import torch
from torch import Tensor

Ask = Callable[[Tensor, Tensor], Tensor]
CPU = torch.device("cpu")
OTHER_OF = {"positive": "negative", "negative": "positive"}


def guided(
    guider: comfy.samplers.CFGGuider, xs: Sequence[Tensor], sigmas: Sequence[float], around: Callable[[Ask, int], Ask]
    | None = None, **options: Any,
) -> list[Tensor]:  # fmt: skip
    """Return the guider's predictions at (xs[k] [B, C, ...], sigmas[k]), in this order within one sampling run.

    Args:
        around: gets the model as samplers see it, and k; returns the function to call instead (to count, for example).
        options: for the guider's ``sample``.
    """
    results: list[Tensor] = []

    def ask_all(model: Any, x: Tensor, sigmas: Tensor, extra_args: dict, callback: Any, disable: Any) -> Tensor:
        for k, (point, sigma) in enumerate(zip(xs, sigmas[:-1], strict=True)):
            ask = lambda x, s: model(x, s, **extra_args)  # noqa: E731
            ask = around(ask, k) if around is not None else ask
            results.append(ask(point.to(x), sigma * x.new_ones([x.shape[0]])).cpu())
        return x

    run_sigmas = torch.tensor([*sigmas, 0.0])
    guider.sample(torch.zeros_like(xs[0]), torch.zeros_like(xs[0]), comfy.samplers.KSAMPLER(ask_all), run_sigmas,
                  disable_pbar=True, seed=0, **options)  # fmt: skip
    return results


def sampled(
    guider: comfy.samplers.CFGGuider, latent: Tensor, steps: int = 3, sampler: str = "euler", scheduler: str = "normal",
    seed: int = 0, **options: Any,
) -> Tensor:  # fmt: skip
    """Sample a whole run of the guider from this latent [B, C, ...], with noise and global random state of the seed."""
    sigmas = comfy.samplers.KSampler(guider.model_patcher, steps, CPU, sampler, scheduler, 1.0).sigmas
    noise = comfy.sample.prepare_noise(latent, seed)
    torch.manual_seed(seed)
    settings = {"disable_pbar": True, "seed": seed, **options}
    return guider.sample(noise, latent, comfy.samplers.sampler_object(sampler), sigmas, **settings)


def denoised(model: Any, conditioning: list, x: Tensor, sigma: float, **options: Any) -> Tensor:
    """Return D(x; model, conditioning) from ComfyUI's calc_cond_batch alone: one model, one condition, no guider.

    ``options`` as for ``processed``.
    """
    comfy.model_management.load_models_gpu([model])
    model.pre_run()
    return evaluated(model, processed(model, conditioning, x, **options), x, sigma)


def processed(model: Any, conditioning: list, x: Tensor, name: str = "positive", beside: list | None = None) -> list:
    """Return the condition as the model receives it at x [B, C, ...].

    Args:
        name: "positive" or "negative".
        beside: the other of the two, if they are processed together as in CFGGuider.
    """
    conds = {name: conditioning} | ({} if beside is None else {OTHER_OF[name]: beside})
    converted = {key: comfy.sampler_helpers.convert_cond(conds[key]) for key in sorted(conds, reverse=True)}
    device = model.load_device
    return comfy.samplers.process_conds(model.model, x.to(device), converted, device, seed=0)[name]


def evaluated(model: Any, cond: list, x: Tensor, sigma: float, **options: Any) -> Tensor:
    """Return ComfyUI's calc_cond_batch of a processed condition, with further model options."""
    device = model.load_device
    all_options = comfy.model_patcher.create_model_options_clone(model.model_options) | options
    sigmas = torch.full([x.shape[0]], sigma, device=device)
    return comfy.samplers.calc_cond_batch(model.model, [cond], x.to(device), sigmas, all_options)[0].cpu()
