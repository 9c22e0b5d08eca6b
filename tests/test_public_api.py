"""gcfg_core by itself: the examples in its docstring, and a graph of diffusers' networks outside ComfyUI."""

import doctest
from typing import Any

import pytest
import torch
from diffusers import EulerDiscreteScheduler, UNet2DConditionModel

import gcfg_core
from gcfg_core import Constant, GuidanceGraph, GuidanceTerm, GuidedDenoiser, Linear, Side, Window

X = torch.full((2, 4, 1, 1), 3.0)


def base(x: torch.Tensor, sigma: float, shift: float) -> torch.Tensor:
    return x / (1.0 + sigma**2) + shift


def test_the_examples_are_true() -> None:
    failed, tried = doctest.testmod(gcfg_core)
    assert not failed and tried >= 8


def test_every_public_name_is_there() -> None:
    assert all(hasattr(gcfg_core, name) for name in gcfg_core.__all__)
    assert sorted(gcfg_core.__all__) == gcfg_core.__all__


def network(seed: int) -> UNet2DConditionModel:
    torch.manual_seed(seed)
    blocks = {"down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"), "up_block_types": ("UpBlock2D",) * 2}
    sizes = {"block_out_channels": (8, 16), "norm_num_groups": 4, "cross_attention_dim": 8, "attention_head_dim": 4}
    return UNet2DConditionModel(sample_size=8, layers_per_block=1, **blocks, **sizes).eval()


def example(name: str) -> Any:
    """A function as the docstring of gcfg_core defines it."""
    names: dict[str, Any] = {"GuidedDenoiser": GuidedDenoiser}
    for piece in doctest.DocTestParser().get_examples(gcfg_core.__doc__ or ""):
        if piece.source.startswith(f"def {name}("):
            exec(piece.source, names)  # noqa: S102
    return names[name]


def test_ten_lines_around_diffusers_are_classifier_free_guidance() -> None:
    scheduler = EulerDiscreteScheduler(num_train_timesteps=1000, beta_schedule="scaled_linear")
    scheduler.set_timesteps(4)
    unet, null, prompt = network(0), torch.zeros(1, 3, 8), torch.randn(1, 3, 8, generator=torch.manual_seed(1))
    noise = torch.randn(1, 4, 8, 8, generator=torch.manual_seed(2)) * scheduler.init_noise_sigma
    term = GuidanceTerm(Side(condition=prompt), weight=3.0)
    graph = GuidanceGraph(Side(example("denoiser")(unet, scheduler), null), (term,))
    result = example("sample")(graph, scheduler, noise)

    scheduler.set_timesteps(4)
    x = noise
    for t in scheduler.timesteps:
        given = scheduler.scale_model_input(x, t)
        uncond, cond = (unet(given, t, embeddings).sample for embeddings in (null, prompt))
        x = scheduler.step(uncond + 3.0 * (cond - uncond), t, x).prev_sample
    torch.testing.assert_close(result, x, atol=1e-4, rtol=1e-4)


def test_coefficients_that_all_count_as_rounding_leave_the_base() -> None:
    terms = (GuidanceTerm(Side(condition=1.0), weight=1e13), GuidanceTerm(reference=Side(condition=1.0), weight=1e13))
    denoise = GuidedDenoiser(GuidanceGraph(Side(base, 0.0), terms))
    assert torch.isfinite(denoise(X, 1.0)).all() and denoise.counts == [1]


def test_a_window_needs_a_schedule() -> None:
    term = GuidanceTerm(Side(condition=1.0), weight=2.0, window=Window(0.0, 0.5))
    graph = GuidanceGraph(Side(base, 0.0), (term,))
    with pytest.raises(ValueError, match="percent_to_sigma"):
        GuidedDenoiser(graph)(X, 1.0)
    denoise = GuidedDenoiser(graph, lambda percent: 1.0 - percent)
    assert torch.equal(denoise(X, 0.75), base(X, 0.75, 2.0)) and torch.equal(denoise(X, 0.25), base(X, 0.25, 0.0))
    assert denoise.counts == [2, 1]


@pytest.mark.parametrize("curve", [Constant(), Linear(0.0)])
def test_a_curve_scales_the_weight(curve: Any) -> None:
    graph = GuidanceGraph(Side(base, 0.0), (GuidanceTerm(Side(condition=1.0), weight=2.0, curve=curve),))
    result = GuidedDenoiser(graph, lambda percent: 1.0 - percent)(X, 0.5)
    torch.testing.assert_close(result, base(X, 0.5, 2.0 * curve(0.5)))
