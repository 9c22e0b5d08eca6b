"""Guided predictions outside ComfyUI: identities first."""

import pytest
import torch
from train_rigs.samples import TINY_XL, concept, condition, denoiser, unet

from gcfg_core.guidance.curves import Linear
from gcfg_core.guidance.graph import GuidanceGraph, GuidanceTerm, Side
from gcfg_core.guidance.modifiers import Refresh
from gcfg_core.guidance.sampling_progress import SamplingProgress, Window
from training.base.noise_schedule import noise_schedule
from training.sample.concept_model import concept_denoiser
from training.sample.denoiser import Denoiser, nearest_timestep
from training.sample.guided import GuidedPrediction, paper_graph, percent_to_sigma, sigma_of

T = 600
NULL, PROMPT = condition(0), condition(1)


def x_t(batch: int = 2) -> torch.Tensor:
    return torch.randn(batch, 3, 8, 8, generator=torch.Generator().manual_seed(9))


def x0_by_hand(model: Denoiser, x: torch.Tensor, told, t: int = T) -> torch.Tensor:
    """Straight from the UNet and the trainer's own schedule."""
    output = model.unet(x, t, told.hidden_states.expand(len(x), -1, -1)).sample
    return model.schedule.denoised(x, output, torch.full((len(x),), t))


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_one_term_is_classifier_free_guidance(prediction):
    base = denoiser(0, prediction)
    guided = GuidedPrediction(paper_graph(base, NULL, control=PROMPT, w_control=2.5))
    cond, uncond = x0_by_hand(base, x_t(), PROMPT), x0_by_hand(base, x_t(), NULL)
    torch.testing.assert_close(guided(x_t(), T), uncond + 2.5 * (cond - uncond), atol=2e-5, rtol=0)


def test_concept_and_control_are_the_sum_by_hand():
    base, toons = denoiser(0), denoiser(1, null_text=True)
    guided = GuidedPrediction(paper_graph(base, NULL, toons, PROMPT, 1.5, 3.0))
    uncond, cond, alone = x0_by_hand(base, x_t(), NULL), x0_by_hand(base, x_t(), PROMPT), x0_by_hand(toons, x_t(), NULL)
    by_hand = uncond + 3.0 * (cond - uncond) + 1.5 * (alone - uncond)
    torch.testing.assert_close(guided(x_t(), T), by_hand, atol=5e-5, rtol=0)


def test_eps_and_v_models_mix():
    base, toons = denoiser(0, "epsilon"), denoiser(1, "v_prediction", null_text=True)
    guided = GuidedPrediction(paper_graph(base, NULL, toons, w_concept=1.5))
    uncond, alone = x0_by_hand(base, x_t(), NULL), x0_by_hand(toons, x_t(), NULL)
    torch.testing.assert_close(guided(x_t(), T), uncond + 1.5 * (alone - uncond), atol=5e-5, rtol=0)


@pytest.mark.parametrize(
    "w_concept, w_control, of_base, of_concept",
    [(0.0, 0.0, 1, 0), (1.0, 0.0, 0, 1), (0.0, 1.0, 1, 0), (0.0, 2.5, 2, 0), (1.5, 3.0, 2, 1), (0.5, 0.5, 1, 1)],
)
def test_only_what_counts_is_evaluated(w_concept, w_control, of_base, of_concept):
    base, toons = denoiser(0), denoiser(1, null_text=True)
    rows = {"base": 0, "toons": 0}  # pictures that went through each network
    for name, model in (("base", base), ("toons", toons)):
        model.unet.register_forward_pre_hook(lambda module, x, name=name: rows.update({name: rows[name] + len(x[0])}))
    guided = GuidedPrediction(paper_graph(base, NULL, toons, PROMPT, w_concept, w_control))
    guided(x_t(2), T)
    assert rows == {"base": 2 * of_base, "toons": 2 * of_concept}
    assert guided.counts == [of_base + of_concept]


def test_predictions_of_one_model_are_one_forward(monkeypatch):
    base = denoiser(0)
    guided = GuidedPrediction(paper_graph(base, NULL, control=PROMPT, w_control=2.0))
    batches = []
    base.unet.register_forward_pre_hook(lambda module, given: batches.append(len(given[0])))
    guided(x_t(3), T)
    assert batches == [6]


def test_conditions_of_other_lengths_are_asked_apart():
    base, long = denoiser(0), condition(1, tokens=9)
    guided = GuidedPrediction(paper_graph(base, NULL, control=long, w_control=2.0))
    cond, uncond = x0_by_hand(base, x_t(), long), x0_by_hand(base, x_t(), NULL)
    torch.testing.assert_close(guided(x_t(), T), uncond + 2.0 * (cond - uncond), atol=2e-5, rtol=0)


def test_a_window_and_a_curve_act_on_progress():
    base = denoiser(0)
    window = GuidedPrediction(paper_graph(base, NULL, control=PROMPT, w_control=2.0, control_window=Window(0.0, 0.4)))
    for t in (999, 600, 599, 10):
        window(x_t(), t)
    assert window.counts == [2, 2, 1, 1]  # percent 0.4 is timestep 599.4
    term = GuidanceTerm(Side(condition=PROMPT), weight=4.0, curve=Linear(0.0))
    curved = GuidedPrediction(GuidanceGraph(Side(base, NULL), (term,)))(x_t(), 500)
    weight = 4.0 * (
        1.0
        - SamplingProgress(percent_to_sigma(base.schedule)).percent(sigma_of(float(base.schedule.alphas_cumprod[500])))
    )
    assert weight == pytest.approx(4.0 * 500 / 999, abs=1e-3)
    plain = GuidedPrediction(paper_graph(base, NULL, control=PROMPT, w_control=weight))(x_t(), 500)
    torch.testing.assert_close(curved, plain, atol=1e-5, rtol=0)


def test_mask_and_refresh_act():
    base = denoiser(0)
    mask = torch.zeros(8, 8)
    mask[:, 4:] = 1.0
    masked = GuidedPrediction(
        GuidanceGraph(Side(base, NULL), (GuidanceTerm(Side(condition=PROMPT), weight=3.0, mask=mask),))
    )
    whole = GuidedPrediction(paper_graph(base, NULL, control=PROMPT, w_control=3.0))
    plain = GuidedPrediction(paper_graph(base, NULL))
    result = masked(x_t(), T)
    torch.testing.assert_close(result[..., 4:], whole(x_t(), T)[..., 4:], atol=1e-5, rtol=0)
    torch.testing.assert_close(result[..., :4], plain(x_t(), T)[..., :4], atol=1e-5, rtol=0)
    kept = GuidanceTerm(Side(condition=PROMPT), weight=3.0, modifiers=(Refresh(2),))
    refreshed = GuidedPrediction(GuidanceGraph(Side(base, NULL), (kept,)))
    for t in (900, 800, 700):
        refreshed(x_t(), t)
    assert refreshed.counts == [2, 1, 2]


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_rescale_is_the_papers_formula(prediction):
    """v' = phi * v * std(v_pos) / std(v) + (1 - phi) * v, each picture its own (arXiv 2305.08891, Equations 15, 16)."""
    base, phi = denoiser(0, prediction), 0.7
    graph = GuidanceGraph(Side(base, NULL), (GuidanceTerm(Side(condition=PROMPT), weight=30.0),), rescale=phi)
    a, x = float(base.schedule.alphas_cumprod[T]), x_t()
    cond, uncond = x0_by_hand(base, x, PROMPT), x0_by_hand(base, x, NULL)
    v, v_pos = ((a**0.5 * x - x0) / (1 - a) ** 0.5 for x0 in (uncond + 30.0 * (cond - uncond), cond))
    scales = torch.stack([own.std() / its.std() for own, its in zip(v_pos, v, strict=True)]).view(-1, 1, 1, 1)
    assert ((scales - 1).abs() > 0.02).all()  # or there would be nothing to see
    by_hand = a**0.5 * x - (1 - a) ** 0.5 * (phi * v * scales + (1 - phi) * v)
    torch.testing.assert_close(GuidedPrediction(graph)(x, T), by_hand, atol=3e-4, rtol=0)


def test_a_model_of_another_schedule_is_asked_at_its_own_noise():
    flat = noise_schedule({"beta_schedule": "linear", "beta_start": 1e-4, "beta_end": 0.02})
    own, alpha = Denoiser(unet(1), flat), float(noise_schedule().alphas_cumprod[300])
    t = nearest_timestep(flat, alpha)
    assert abs(float(flat.alphas_cumprod[t]) - alpha) < 0.005 and t != 300
    output = own.unet(x_t(), t, NULL.hidden_states.expand(2, -1, -1)).sample
    by_hand = (x_t() - (1 - alpha) ** 0.5 * output) / alpha**0.5
    torch.testing.assert_close(own.denoised(x_t(), alpha, [NULL])[0], by_hand, atol=1e-6, rtol=0)


def test_an_eps_concept_follows_a_base_of_zero_terminal_snr():
    base, toons = denoiser(0, "v_prediction", zero_snr=True), denoiser(1, null_text=True)
    guided = GuidedPrediction(paper_graph(base, NULL, toons, w_concept=1.5))
    result = guided(x_t(), 999)
    most = float(toons.schedule.alphas_cumprod[-1])
    held = x_t() * (1.0 - most) ** 0.5
    alone = x0_by_hand(toons, held, NULL, 999)
    uncond = x0_by_hand(base, x_t(), NULL, 999)
    torch.testing.assert_close(result, uncond + 1.5 * (alone - uncond), atol=2e-4, rtol=1e-5)


def test_an_sdxl_concept_keeps_its_constants():
    toons = concept_denoiser(concept(config=TINY_XL))
    one, other = (condition(seed, config=TINY_XL) for seed in (3, 4))
    first, second = toons.denoised(x_t(), 0.5, [one, other])
    assert torch.equal(first, second)
    told = concept(config=TINY_XL)
    added = {"text_embeds": told.text_embeds.expand(2, -1), "time_ids": told.time_ids.expand(2, -1)}
    t = nearest_timestep(toons.schedule, 0.5)
    output = toons.unet(x_t(), t, one.hidden_states.expand(2, -1, -1), added_cond_kwargs=added).sample
    torch.testing.assert_close(first, (x_t() - 0.5**0.5 * output) / 0.5**0.5, atol=1e-5, rtol=0)
