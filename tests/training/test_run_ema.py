"""Averages of the weights against their closed forms."""

import math

import pytest
import torch
from torch import nn

from gcfg_core.errors import InputError
from training.settings.config import EmaConfig
from training.state.ema import Averages, Profile, gamma_of, power_profile, profiles, sigma_rel_of


def closed_form(profile: Profile, history: list[float]) -> float:
    """The weighted sum of w_1, w_2, ... that the recursion amounts to."""
    total, factor = 0.0, 1.0
    for t in range(len(history), 0, -1):
        beta = profile.beta(t)
        total += factor * (1.0 - beta) * history[t - 1]
        factor *= beta
    return total


@pytest.mark.parametrize("profile", [power_profile(0.05), power_profile(0.1), Profile("ema", decay=0.9, warmup=4)])
def test_the_average_is_the_weighted_sum_of_its_history(profile: Profile) -> None:
    layer = nn.Linear(1, 1, bias=False)
    averages = Averages(layer, [profile])
    history = [math.sin(t) for t in range(1, 40)]
    for t, value in enumerate(history, 1):
        nn.init.constant_(layer.weight, value)
        averages.update(t)
    with averages.applied(profile.name):
        assert layer.weight.item() == pytest.approx(closed_form(profile, history), abs=1e-6)
    assert layer.weight.item() == pytest.approx(history[-1])


def test_the_power_function_weighs_a_moment_by_its_gamma_th_power() -> None:
    profile = power_profile(0.1)
    assert profile.gamma is not None
    n, history = 4000, [0.0] * 4000
    weights = []
    for t in (1000, 2000, 4000):
        pulse = list(history)
        pulse[t - 1] = 1.0
        weights.append(closed_form(profile, pulse))
    for weight, t in zip(weights, (1000, 2000, 4000), strict=True):
        assert weight == pytest.approx((profile.gamma + 1) / n * (t / n) ** profile.gamma, rel=0.02)


@pytest.mark.parametrize(("sigma_rel", "gamma"), [(0.05, 16.97), (0.10, 6.94), (0.25, 0.72)])
def test_gammas_are_those_of_the_paper(sigma_rel: float, gamma: float) -> None:
    # arXiv 2312.02696, section 3.1: 6.94 for 10 %, 16.97 for 5 %.
    assert gamma_of(sigma_rel) == pytest.approx(gamma, abs=0.01)
    assert sigma_rel_of(gamma_of(sigma_rel)) == pytest.approx(sigma_rel, abs=1e-12)


@pytest.mark.parametrize("sigma_rel", [0.0, -0.1, 0.3, 1.0])
def test_a_width_that_no_power_function_has_is_refused(sigma_rel: float) -> None:
    with pytest.raises(InputError, match="sigma_rels"):
        gamma_of(sigma_rel)


def test_a_constant_decay_warms_up() -> None:
    profile = Profile("ema", decay=0.99, warmup=10)
    assert profile.beta(1) == 0.0
    assert profile.beta(2) == pytest.approx(3 / 12)
    assert profile.beta(10_000) == 0.99


def test_settings_name_the_averages() -> None:
    assert [p.name for p in profiles(EmaConfig(sigma_rels=(0.1, 0.05, 0.1)))] == ["ema-0.1", "ema-0.05"]
    assert [p.name for p in profiles(EmaConfig(ema="constant"))] == ["ema"]
    assert profiles(EmaConfig(ema="none")) == []


def test_low_precision_weights_are_averaged_in_float32() -> None:
    layer = nn.Linear(1, 1, bias=False, dtype=torch.bfloat16)
    averages = Averages(layer, [Profile("ema", decay=0.999, warmup=1)])
    nn.init.constant_(layer.weight, 1.0)
    averages.update(1)
    nn.init.constant_(layer.weight, 2.0)
    averages.update(5000)
    assert averages._shadows["ema"][0].item() == pytest.approx(1.001, abs=1e-6)


def test_frozen_weights_have_no_average() -> None:
    layer = nn.Linear(3, 5)
    layer.bias.requires_grad_(False)
    [shadow] = Averages(layer, [power_profile(0.1)])._shadows.values()
    assert [values.numel() for values in shadow] == [15]
