"""Samplers: equal to plain diffusers loops, and independent of the batch."""

import pytest
import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler
from train_rigs.samples import condition, denoiser

from gcfg_core.input_error import InputError
from training.sample.guided import GuidedPrediction, paper_graph
from training.sample.sampler import picture_noise, sample, solver
from training.schedule import noise_schedule

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
