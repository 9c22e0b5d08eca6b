"""eps, v, denoised and flow: conversions are inverse to each other and agree with ComfyUI's own model samplings."""

import comfy.model_sampling as ms
import comfy.supported_models
import pytest
import torch
from torch import Tensor

from gcfg_core.guidance import parameterization as p
from rigs.micro import UNET

SIGMAS = [0.03, 0.5, 1.0, 3.0, 14.6]


def noise(seed: int) -> Tensor:
    return torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def core(kind: type) -> object:
    class Sampling(ms.ModelSamplingDiscrete, kind):
        pass

    return Sampling(comfy.supported_models.SD15(dict(UNET)))


@pytest.mark.parametrize("sigma", SIGMAS)
class TestAgreesWithCore:
    def test_eps(self, sigma: float) -> None:
        expected = core(ms.EPS).calculate_denoised(torch.tensor([sigma], dtype=torch.float64), noise(0), noise(1))
        assert torch.allclose(p.eps_to_denoised(noise(1), noise(0), sigma), expected)

    def test_v(self, sigma: float) -> None:
        expected = core(ms.V_PREDICTION).calculate_denoised(
            torch.tensor([sigma], dtype=torch.float64), noise(0), noise(1)
        )
        assert torch.allclose(p.v_to_denoised(noise(1), noise(0), sigma), expected)

    def test_velocity(self, sigma: float) -> None:
        s = sigma / (1 + sigma)
        expected = core(ms.CONST).calculate_denoised(torch.tensor([s], dtype=torch.float64), noise(0), noise(1))
        assert torch.allclose(p.velocity_to_denoised(noise(1), noise(0), s), expected)


@pytest.mark.parametrize("sigma", SIGMAS)
@pytest.mark.parametrize(
    ("there", "back"),
    [
        (p.denoised_to_eps, p.eps_to_denoised),
        (p.denoised_to_v, p.v_to_denoised),
        (p.denoised_to_velocity, p.velocity_to_denoised),
    ],
)
def test_there_and_back(there: object, back: object, sigma: float) -> None:
    x, denoised = noise(0), noise(1)
    assert torch.allclose(back(x, there(x, denoised, sigma), sigma), denoised, atol=1e-12)


@pytest.mark.parametrize("sigma", SIGMAS)
def test_the_same_weights_give_the_same_result_in_every_space(sigma: float) -> None:
    """Since x and sigma are shared, guidance is linear in each of them."""
    x, base, cond, w = noise(0), noise(1), noise(2), 3.7
    expected = base + w * (cond - base)
    for there, back in ((p.denoised_to_eps, p.eps_to_denoised), (p.denoised_to_v, p.v_to_denoised)):
        guided = there(x, base, sigma) + w * (there(x, cond, sigma) - there(x, base, sigma))
        assert torch.allclose(back(x, guided, sigma), expected, atol=1e-12)


class TestFlowTime:
    def test_a_noised_latent_is_the_same_at_both_times(self) -> None:
        """VE: x0 + sigma e. Flow: (1 - s) x0 + s e."""
        x0, e, sigma = noise(0), noise(1), torch.tensor([0.5, 14.6], dtype=torch.float64)
        x, s = p.ve_to_flow(x0 + sigma.view(-1, 1, 1, 1) * e, sigma)
        at = s.view(-1, 1, 1, 1)
        assert torch.allclose(x, (1 - at) * x0 + at * e, atol=1e-12)
        assert ((s > 0) & (s < 1)).all()

    @pytest.mark.parametrize("sigma", SIGMAS)
    def test_there_and_back(self, sigma: float) -> None:
        sigmas = torch.full([2], sigma, dtype=torch.float64)
        x, s = p.flow_to_ve(*p.ve_to_flow(noise(0), sigmas))
        assert torch.allclose(x, noise(0), atol=1e-9)
        assert torch.allclose(s, sigmas)

    def test_pure_noise_stays_finite(self) -> None:
        x, sigma = p.flow_to_ve(noise(0), torch.ones(2, dtype=torch.float64))
        assert torch.isfinite(x).all()
        assert torch.isfinite(sigma).all()
