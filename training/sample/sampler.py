"""From noise to latents: diffusers' solvers, fed with denoised predictions."""

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
    """Standard normal [count, *shape]; picture i has its own numbers, whatever the batch it is drawn in."""
    return torch.stack([normal(shape, seed, "sample", first + i) for i in range(count)])


def solver(schedule: NoiseSchedule, sampler: Sampler = "dpm++", steps: int = 25) -> Any:
    """A diffusers scheduler over these noise levels that takes denoised predictions, its timesteps set.

    "dpm++" is DPM-Solver++(2M) (arXiv 2211.01095), as in the paper. "ddim" is deterministic DDIM (arXiv 2010.02502):
    that solver's first order; diffusers' DDIMScheduler rounds its steps where they do not divide the schedule.

    Raises:
        InputError: an unknown sampler, or a number of steps that the schedule does not have.
    """
    if sampler not in SAMPLERS:
        raise InputError("sampler", " or ".join(SAMPLERS), repr(sampler), "Name one of them.")
    if not 1 <= steps <= schedule.steps:
        raise InputError("steps", f"1 to {schedule.steps}", str(steps), "25 is the paper's number.")
    made = DPMSolverMultistepScheduler(
        num_train_timesteps=schedule.steps, solver_order=1 if sampler == "ddim" else 2, prediction_type="sample"
    )
    made.alphas_cumprod = schedule.alphas_cumprod.float().clamp_min(SMALLEST_ALPHA)
    trailing = sampler == "ddim" or schedule.zero_terminal_snr
    made.set_timesteps(timesteps=spaced_timesteps(schedule.steps, steps, trailing))
    return made


def spaced_timesteps(among: int, steps: int, trailing: bool) -> list[int]:
    """``steps`` distinct timesteps of ``among``, falling from the last one.

    Counted here, since diffusers' own come to one too many (-1) at some numbers of trailing steps, and repeat one where
    all of them are asked for.

    Args:
        among: timesteps of the schedule.
        steps: at most ``among``.
        trailing: parts of equal length, each one's noisiest timestep (arXiv 2305.08891, Table 2); else evenly spaced
            towards 0, which is left out ("linspace" there).
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
    """Latents [B, C, h, w] from noise of that shape.

    Args:
        predict: (x_t, t) -> x_0, with t a timestep of ``schedule``.
        schedule: the noise levels to walk down.
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
