"""Samplers: equal to plain diffusers loops, and independent of the batch."""

import pytest
import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler
from train_rigs.samples import condition, denoiser

from gcfg_core.errors import InputError
from training.base.noise_schedule import noise_schedule
from training.sample.guided import GuidedPrediction, paper_graph
from training.sample.sampler import picture_noise, sample, solver, spaced_timesteps

NULL, PROMPT = condition(0), condition(1)
SD = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


def diffusers_loop(scheduler, model, noise, steps=10, weight=1.0):
    """The loop of a diffusers pipeline with classifier-free guidance on the network's output."""
    scheduler.set_timesteps(steps)
    x = noise * scheduler.init_noise_sigma
    for t in scheduler.timesteps:
        cond, uncond = (model.unet(x, t, c.hidden_states.expand(len(x), -1, -1)).sample for c in (PROMPT, NULL))
        x = scheduler.step(uncond + weight * (cond - uncond), t, x, return_dict=False)[0]
    return x


@pytest.mark.parametrize("prediction, zero_snr", [("epsilon", False), ("v_prediction", False), ("v_prediction", True)])
@pytest.mark.parametrize("weight", [1.0, 2.5])
def test_dpm_solver_equals_diffusers(prediction, zero_snr, weight):
    model = denoiser(0, prediction, zero_snr=zero_snr)
    spacing = "trailing" if zero_snr else "linspace"
    theirs = DPMSolverMultistepScheduler(
        **SD, prediction_type=prediction, rescale_betas_zero_snr=zero_snr, timestep_spacing=spacing
    )
    noise = picture_noise(2, (3, 8, 8), 5)
    ours = sample(
        GuidedPrediction(paper_graph(model, NULL, control=PROMPT, w_control=weight)), model.schedule, noise, 10
    )
    expected = diffusers_loop(theirs, model, noise, weight=weight)
    torch.testing.assert_close(ours, expected, atol=1e-3 * float(expected.abs().max()), rtol=0)


@pytest.mark.parametrize("prediction, zero_snr", [("epsilon", False), ("v_prediction", True)])
def test_ddim_equals_diffusers(prediction, zero_snr):
    model = denoiser(0, prediction, zero_snr=zero_snr)
    theirs = DDIMScheduler(
        **SD,
        prediction_type=prediction,
        rescale_betas_zero_snr=zero_snr,
        timestep_spacing="trailing",
        clip_sample=False,
    )
    noise = picture_noise(2, (3, 8, 8), 5)
    predict = GuidedPrediction(paper_graph(model, NULL, control=PROMPT))
    ours = sample(predict, model.schedule, noise, 10, "ddim")
    expected = diffusers_loop(theirs, model, noise)
    torch.testing.assert_close(ours, expected, atol=1e-3 * float(expected.abs().max()), rtol=0)
    assert len(predict.counts) == 10


def test_a_perfect_model_is_found_in_every_sampler():
    picture = torch.randn(1, 3, 4, 4)
    for schedule in (noise_schedule(), noise_schedule(None, "v_prediction", True)):
        for name in ("dpm++", "ddim"):
            made = sample(lambda x, t: picture, schedule, picture_noise(1, (3, 4, 4), 0), 7, name)
            torch.testing.assert_close(made, picture, atol=1e-5, rtol=0)


def test_zero_terminal_snr_starts_at_the_last_timestep():
    steps = solver(noise_schedule(None, "v_prediction", True), "ddim", 25).timesteps
    assert steps[0] == 999 and steps[-1] == 39 and len(steps) == 25


@pytest.mark.parametrize("trailing", [False, True])
def test_timesteps_are_distinct_and_start_at_the_last(trailing):
    for steps in range(1, 1001):
        made = spaced_timesteps(1000, steps, trailing)
        assert len(made) == steps and made[0] == 999 and made[-1] >= 0
        assert all(above > below for above, below in zip(made, made[1:], strict=False))


def test_timesteps_are_diffusers_where_those_are_right():
    """But for a tie, which their sum of rounded steps may break the other way."""
    for spacing in ("linspace", "trailing"):
        theirs = DPMSolverMultistepScheduler(**SD, timestep_spacing=spacing)
        for steps in (1, 7, 25, 60, 333, 999):
            theirs.set_timesteps(steps)
            ours = torch.tensor(spaced_timesteps(1000, steps, spacing == "trailing"))
            assert int((theirs.timesteps - ours).abs().max()) <= (1 if steps == 60 else 0)


class Gaussian:
    """The ideal model of pictures whose pixels are N(0, 0.5^2): D(x_t) = sqrt(a) v x_t / (a v + 1 - a), v = 0.25."""

    variance = 0.25

    def __init__(self, schedule):
        self.alphas = schedule.alphas_cumprod

    def __call__(self, x, t):
        assert t >= 0
        a = float(self.alphas[t])
        return a**0.5 * self.variance / (a * self.variance + 1 - a) * x

    def answer(self, noise):
        """Where the probability flow ends: every pixel keeps its place among the others."""
        a = float(self.alphas[-1])
        return noise * (self.variance / (a * self.variance + 1 - a)) ** 0.5


AWKWARD = [7, 25, 61, 103, 250, 999, 1000]


@pytest.mark.parametrize("steps", AWKWARD)
@pytest.mark.parametrize("zero_snr", [False, True])
def test_ddim_is_the_formula_at_any_number_of_steps(zero_snr, steps):
    """x' = sqrt(a') D + sqrt(1 - a') (x - sqrt(a) D) / sqrt(1 - a) (arXiv 2010.02502, Equation 12, no noise)."""
    schedule = noise_schedule(None, "v_prediction" if zero_snr else "epsilon", zero_snr)
    model, x = Gaussian(schedule), picture_noise(1, (3, 4, 4), 0)
    made = sample(model, schedule, x, steps, "ddim")
    levels = [float(schedule.alphas_cumprod[-1 - int(i * 1000 / steps + 0.5)]) for i in range(steps)] + [1.0]
    x = x.double()
    for a, below in zip(levels, levels[1:], strict=False):
        clean = a**0.5 * model.variance / (a * model.variance + 1 - a) * x
        x = below**0.5 * clean + (1 - below) ** 0.5 * (x - a**0.5 * clean) / (1 - a) ** 0.5
    torch.testing.assert_close(made.double(), x, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("steps", AWKWARD)
@pytest.mark.parametrize("zero_snr", [False, True])
def test_dpm_solver_comes_to_the_end_of_the_flow(zero_snr, steps):
    schedule = noise_schedule(None, "v_prediction" if zero_snr else "epsilon", zero_snr)
    model, noise = Gaussian(schedule), picture_noise(1, (3, 4, 4), 0)
    made = sample(model, schedule, noise, steps, "dpm++")
    error = float((made - model.answer(noise)).norm() / model.answer(noise).norm())
    assert error < 2.0 / steps + 0.002


def test_noise_belongs_to_the_picture():
    together = picture_noise(4, (3, 4, 4), 3)
    assert torch.equal(together[2:], picture_noise(2, (3, 4, 4), 3, first=2))
    assert not torch.equal(together, picture_noise(4, (3, 4, 4), 4))


def test_two_pictures_are_two_times_one():
    model, toons = denoiser(0), denoiser(1, null_text=True)
    noise = picture_noise(2, (3, 8, 8), 0)

    def made(part):
        return sample(GuidedPrediction(paper_graph(model, NULL, toons, PROMPT, 1.5, 3.0)), model.schedule, part, 5)

    torch.testing.assert_close(made(noise), torch.cat([made(noise[:1]), made(noise[1:])]), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name, steps, message", [("euler", 5, "dpm"), ("ddim", 0, "1 to"), ("ddim", 1001, "1 to")])
def test_bad_settings_are_told(name, steps, message):
    with pytest.raises(InputError, match=message):
        solver(noise_schedule(), name, steps)
