"""Sample latents from noise with diffusers' solvers, given denoised predictions."""

from collections.abc import Callable
from typing import Any, Literal, get_args

import torch
from diffusers import DPMSolverMultistepScheduler
from torch import Tensor

from gcfg_core.errors import InputError

from ..base.noise_schedule import NoiseSchedule
from ..console.progress_bar import Progress
from ..seeds import normal

Sampler = Literal["dpm++", "ddim"]
SAMPLERS: tuple[Sampler, ...] = get_args(Sampler)
SMALLEST_ALPHA = 2.0**-24
"""diffusers' stand-in for zero terminal SNR, where DPM-Solver's sigma would be infinite."""


def picture_noise(count: int, shape: tuple[int, ...], seed: int, first: int = 0) -> Tensor:
    """Return standard normal noise [count, *shape]; picture i has its own numbers in every batch size."""
    return torch.stack([normal(shape, seed, "sample", first + i) for i in range(count)])


def solver(schedule: NoiseSchedule, sampler: Sampler = "dpm++", steps: int = 25) -> Any:
    """Return a diffusers scheduler for this noise schedule that takes denoised predictions, with its timesteps set.

    "dpm++" is DPM-Solver++(2M) (arXiv 2211.01095), as in the paper. "ddim" is deterministic DDIM (arXiv 2010.02502):
    the solver's first order, since diffusers' DDIMScheduler rounds steps that do not divide the noise schedule.

    Raises:
        InputError: the sampler is unknown, or the noise schedule has fewer steps.
    """
    if sampler not in SAMPLERS:
        raise InputError("sampler", " or ".join(SAMPLERS), repr(sampler), "Choose from these.")
    if not 1 <= steps <= schedule.steps:
        raise InputError("steps", f"1 to {schedule.steps}", str(steps), "The paper uses 25.")
    made = DPMSolverMultistepScheduler(
        num_train_timesteps=schedule.steps, solver_order=1 if sampler == "ddim" else 2, prediction_type="sample"
    )
    made.alphas_cumprod = schedule.alphas_cumprod.float().clamp_min(SMALLEST_ALPHA)
    trailing = sampler == "ddim" or schedule.zero_terminal_snr
    made.set_timesteps(timesteps=spaced_timesteps(schedule.steps, steps, trailing))
    return made


def spaced_timesteps(among: int, steps: int, trailing: bool) -> list[int]:
    """Return ``steps`` distinct timesteps of ``among``, decreasing from the last.

    Computed here because diffusers' own list has an extra timestep -1 for some numbers of trailing steps, and repeats a
    timestep if all of them are requested.

    Args:
        among: number of timesteps of the noise schedule.
        steps: at most ``among``.
        trailing: take the noisiest timestep of equally long parts (arXiv 2305.08891, Table 2); else evenly spaced
            towards 0, without 0 ("linspace" there).
    """
    if trailing or steps == among:
        return [round(among - i * among / steps) - 1 for i in range(steps)]
    return [round((among - 1) * i / steps) for i in range(steps, 0, -1)]


def sample(
    predict: Callable[[Tensor, int], Tensor],
    schedule: NoiseSchedule,
    noise: Tensor,
    steps: int = 25,
    sampler: Sampler = "dpm++",
    progress: Progress | None = None,
) -> Tensor:
    """Sample latents [B, C, h, w] from noise of that shape.

    Args:
        predict: maps (x_t, t) to x_0; t is a timestep of ``schedule``.
        schedule: noise schedule.
        noise: standard normal.
        progress: called with (steps done, steps) after each step.
    """
    made = solver(schedule, sampler, steps)
    x_t = noise
    for done, t in enumerate(made.timesteps.tolist(), 1):
        x_t = made.step(predict(x_t, t), t, x_t, return_dict=False)[0]
        if progress is not None:
            progress(done, steps)
    return x_t
